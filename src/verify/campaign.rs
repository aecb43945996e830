//! What is done to the installation, and when: each campaign is a way to make its life hard, with waits
//! and targets thrown by dice, so that a seed gives the same campaign again.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::dice::Dice;
use super::journal::{Journal, Written};
use super::scratch::{Part, Scratch, ScratchError};
use super::wire::Wire;

/// How often is looked whether something ended by itself.
const TEND_EVERY: Duration = Duration::from_millis(100);

/// How to make its life hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Campaign {
    /// Processes killed at random moments, and restarted as a deploy would.
    Crash,
    /// Processes frozen for seconds.
    Freeze,
    /// A wire cut for seconds: between people and the doors or, split, from all processes to nats-server or the database.
    Cut,
    /// Processes killed every few seconds, while they are still starting too.
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
    pub what: String,
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
            "campaign": self.campaign.name(), "what": &self.what,
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
                return self.waits(until.saturating_duration_since(Instant::now())).await;
            }
            self.waits(pause).await?;
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let at = self.journal.now();
            let what = match campaign {
                Campaign::Crash => self.crash().await?,
                Campaign::Freeze => self.freeze().await?,
                Campaign::Cut => self.cut().await?,
                Campaign::RepeatedKill | Campaign::All => {
                    let part = self.part();
                    self.kill(part)?
                }
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

    /// Waits, and meanwhile starts again what ended by itself.
    async fn waits(&mut self, length: Duration) -> Result<(), ScratchError> {
        let until = Instant::now() + length;
        while Instant::now() < until && !self.stop.is_cancelled() {
            self.scratch.tend()?;
            tokio::time::sleep(TEND_EVERY.min(until.saturating_duration_since(Instant::now()))).await;
        }
        Ok(())
    }

    /// Whom it hits.
    fn part(&mut self) -> Part {
        let parts = self.scratch.parts();
        *self.dice.pick(&parts).unwrap_or(&Part::NatsServer)
    }

    fn kill(&mut self, part: Part) -> Result<String, ScratchError> {
        self.scratch.kill(part)?;
        Ok(format!("SIGKILL of {}", self.scratch.name(part)))
    }

    /// Of ten, two are restarts.
    async fn crash(&mut self) -> Result<String, ScratchError> {
        let part = self.part();
        if part == Part::NatsServer || self.dice.below(10) >= 2 {
            return self.kill(part);
        }
        let ended = self.scratch.restart(part).await?;
        let name = self.scratch.name(part);
        if !ended.is_some_and(|status| status.success()) {
            let what = format!("{name} was asked to end and did not end well: {ended:?}");
            self.journal.finds("unclean_stop", what);
        }
        Ok(format!("restart of {name}"))
    }

    async fn freeze(&mut self) -> Result<String, ScratchError> {
        let part = self.part();
        let length = self.dice.between_ms(500, 6_000);
        self.scratch.signal(part, Signal::STOP);
        self.waits(length).await?;
        self.scratch.signal(part, Signal::CONT);
        Ok(format!("SIGSTOP of {}", self.scratch.name(part)))
    }

    async fn cut(&mut self) -> Result<String, ScratchError> {
        let length = self.dice.between_ms(100, 3_000);
        let mut wires = vec![("the door", self.wire.clone())];
        wires.extend(self.scratch.wires.iter().cloned());
        let (to, wire) = self.dice.pick(&wires).unwrap_or(&wires[0]);
        wire.cut();
        self.waits(length).await?;
        wire.mend();
        Ok(format!("the wire to {to} cut"))
    }
}
