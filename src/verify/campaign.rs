//! What is done to the installation, and when: each campaign is a way to make its life hard, with waits
//! and targets thrown by dice, so that a seed gives the same campaign again.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::dice::Dice;
use super::journal::{Journal, Written};
use super::scratch::{Scratch, ScratchError, signal};
use super::wire::Wire;

/// How to make its life hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Campaign {
    /// Maru or its nats-server killed at random moments, and Maru restarted as a deploy would.
    Crash,
    /// Maru or its nats-server frozen for seconds.
    Freeze,
    /// The wire between people and the door cut for seconds.
    Cut,
    /// Maru or its nats-server killed every few seconds, while they are still starting too.
    RepeatedKill,
    /// One after the other.
    All,
}

impl Campaign {
    const EACH: [Self; 4] = [Self::Crash, Self::Freeze, Self::Cut, Self::RepeatedKill];

    pub fn parts(self) -> Vec<Self> {
        match self {
            Self::All => Self::EACH.to_vec(),
            one => vec![one],
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Freeze => "freeze",
            Self::Cut => "cut",
            Self::RepeatedKill => "repeated-kill",
            Self::All => "all",
        }
    }
}

/// One thing that was done.
pub struct Fault {
    pub campaign: Campaign,
    pub what: &'static str,
    /// Since the journal was begun.
    pub at: Duration,
    /// When we took our hands off: from here on it has to recover by itself.
    pub lifted: Duration,
}

impl Fault {
    /// As the report tells it, with how long until commands were accepted and finished again.
    pub fn tell(&self, written: &Written) -> Value {
        let (accepted, finished) = written.after(self.lifted);
        let ms = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
        json!({
            "campaign": self.campaign.name(), "what": self.what,
            "atMs": self.at.as_millis() as u64, "liftedMs": self.lifted.as_millis() as u64,
            "acceptedAfterMs": ms(accepted), "finishedAfterMs": ms(finished),
        })
    }
}

/// The field of the campaign.
pub struct Field<'a> {
    pub scratch: &'a mut Scratch,
    pub wire: &'a Wire,
    pub journal: &'a Journal,
    pub dice: Dice,
    pub stop: CancellationToken,
    pub faults: Vec<Fault>,
}

impl Field<'_> {
    /// Does one campaign for a while.
    pub async fn fight(&mut self, campaign: Campaign, length: Duration) -> Result<(), ScratchError> {
        let until = Instant::now() + length;
        loop {
            let pause = match campaign {
                // Sometimes before it is ready again.
                Campaign::RepeatedKill => self.dice.between_ms(300, 4_000),
                Campaign::Cut => self.dice.between_ms(1_000, 4_000),
                _ => self.dice.between_ms(2_000, 7_000),
            };
            // However short it is, something is done in it.
            let pause = pause.min(length / 2);
            if Instant::now() + pause > until {
                self.waits(until.saturating_duration_since(Instant::now())).await;
                return Ok(());
            }
            self.waits(pause).await;
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let at = self.journal.now();
            let what = match campaign {
                Campaign::Crash => self.crash().await?,
                Campaign::Freeze => self.freeze().await,
                Campaign::Cut => self.cut().await,
                Campaign::RepeatedKill | Campaign::All => self.kill_again()?,
            };
            let lifted = self.journal.now();
            self.faults.push(Fault {
                campaign,
                what,
                at,
                lifted,
            });
            if campaign != Campaign::RepeatedKill {
                self.scratch.ready().await?;
            }
        }
    }

    async fn waits(&self, length: Duration) {
        let _ = self.stop.run_until_cancelled(tokio::time::sleep(length)).await;
    }

    async fn crash(&mut self) -> Result<&'static str, ScratchError> {
        match self.dice.below(10) {
            0..5 => {
                self.scratch.kill();
                self.scratch.start()?;
                Ok("SIGKILL of Maru")
            }
            5..8 => {
                if let Some(server) = self.scratch.nats_server() {
                    signal(server, Signal::KILL);
                }
                Ok("SIGKILL of nats-server")
            }
            _ => {
                let ended = self.scratch.stop().await;
                if !ended.is_some_and(|status| status.success()) {
                    let what = format!("Maru was asked to end and did not end well: {ended:?}");
                    self.journal.finds("unclean_stop", what);
                }
                self.scratch.start()?;
                Ok("restart of Maru")
            }
        }
    }

    fn kill_again(&mut self) -> Result<&'static str, ScratchError> {
        if self.dice.below(4) == 0
            && let Some(server) = self.scratch.nats_server()
        {
            signal(server, Signal::KILL);
            return Ok("SIGKILL of nats-server");
        }
        self.scratch.kill();
        self.scratch.start()?;
        Ok("SIGKILL of Maru")
    }

    async fn freeze(&mut self) -> &'static str {
        let (target, what) = if self.dice.below(2) == 0 {
            (self.scratch.nats_server(), "SIGSTOP of nats-server")
        } else {
            (self.scratch.maru(), "SIGSTOP of Maru")
        };
        let length = self.dice.between_ms(500, 6_000);
        if let Some(target) = target {
            signal(target, Signal::STOP);
            self.waits(length).await;
            signal(target, Signal::CONT);
        }
        what
    }

    async fn cut(&mut self) -> &'static str {
        let length = self.dice.between_ms(100, 3_000);
        self.wire.cut();
        self.waits(length).await;
        self.wire.mend();
        "the wire to the door cut"
    }
}
