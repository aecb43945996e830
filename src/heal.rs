//! `maru heal`: what the database has lost comes back from the streams. `maru up` does it by itself
//! whenever it finds that the database was not closed.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;
use maru_streams::desk::{self, DeskError};
use maru_streams::heal::{Closed, HealError, Mark, Report, Start, Word};
use maru_streams::intention::Clock;
use maru_streams::nats::Nats;
use maru_streams::store::Store;
use maru_workers::heal::heal;
use serde_json::{Value, json};

use crate::operator::{Database, Site};
use crate::{Outcome, apart, parts};

/// Bring back from the streams what the database has lost, after a restore above all.
///
/// It looks at everything since the database was last known to be whole. With Maru running it only looks
/// (--dry-run). Exits with 1 if something cannot be brought back.
#[derive(Args)]
pub struct Heal {
    #[command(flatten)]
    site: Site,
    /// Only report; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Look at everything that the streams hold, whatever the database says of itself.
    #[arg(long)]
    from_start: bool,
    #[command(flatten)]
    database: Database,
}

/// Something is missing and stays so.
#[derive(Debug, thiserror::Error)]
#[error(
    "{aggregates} aggregates lack something that cannot be brought back, and {unreadable} events cannot be read by \
     this build; they were left as they are. docs/operating/heal.md says what to do"
)]
pub struct NotWhole {
    aggregates: u64,
    unreadable: u64,
}

/// Healing needs the database for itself.
#[derive(Debug, thiserror::Error)]
#[error("Maru is running there, and healing needs the database for itself: stop it first, or look with --dry-run")]
struct Running;

impl Heal {
    pub async fn run(self) -> Outcome {
        let report = match (&self.site.nats, &self.database.url) {
            (Some(nats), Some(database)) => self.there(nats, database).await?,
            _ => self.here().await?,
        };
        if self.site.json {
            println!("{:#}", json!(report));
        } else {
            tell(&report);
        }
        whole(&report).map_err(Into::into)
    }

    /// An installation that keeps its data in a folder, or whose workers run.
    async fn here(&self) -> Result<Report, Box<dyn std::error::Error>> {
        apart::refuse()?;
        let mut reached = self.site.reach().await?;
        let report = match reached.store.clone() {
            Some(store) => self.heal(&reached.nats, store).await,
            None if self.dry_run => {
                let word = |word: Value| {
                    eprintln!(
                        "looked at {} up to {} of {}",
                        text(&word["looking_at"]),
                        word["at"],
                        word["to"]
                    );
                };
                let asked = reached.ask("heal.look", json!({ "fromStart": self.from_start }), word);
                asked
                    .await
                    .and_then(|answer| serde_json::from_value(answer).map_err(|error| DeskError::failed(&error)))
                    .map_err(Into::into)
            }
            None => Err(Running.into()),
        };
        if let Ok(report) = &report
            && report.is_whole()
            && !self.dry_run
        {
            reached.whole = Some(report.to);
        }
        reached.leave(&self.site).await?;
        report
    }

    /// Servers of your own, with nobody at work on them.
    async fn there(&self, nats: &str, database: &str) -> Result<Report, Box<dyn std::error::Error>> {
        let nats = Nats::connect(nats, "maru heal").await?;
        let running = desk::ask(&nats, "views.status", &json!({}), |_| {}).await;
        if !self.dry_run && !matches!(running, Err(DeskError::Nobody)) {
            return Err(Running.into());
        }
        let store = Store::open(self.database.beside(database)?, self.database.credentials()).await?;
        self.heal(&nats, store).await
    }

    async fn heal(&self, nats: &Nats, store: Store) -> Result<Report, Box<dyn std::error::Error>> {
        let since = if self.from_start {
            Mark::default()
        } else {
            Mark::of(&store).await?
        };
        let (heal, say) = (heal(nats, &store), throttled(|word| eprintln!("{}", sentence(word))));
        Ok(if self.dry_run {
            heal.look(since, &say).await?
        } else {
            heal.mend(since, &say).await?
        })
    }
}

pub fn whole(report: &Report) -> Result<(), NotWhole> {
    if report.is_whole() {
        return Ok(());
    }
    Err(NotWhole {
        aggregates: report.unhealable_aggregates,
        unreadable: report.unreadable,
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub fn sentence(word: Word) -> String {
    format!("looked at {} up to {} of {}", word.looking_at, word.at, word.to)
}

/// A word every two seconds is enough.
pub fn throttled<W>(say: impl Fn(W) + Send + Sync) -> impl Fn(W) + Send + Sync {
    let last = Mutex::new(Instant::now());
    move |word| {
        if let Ok(mut last) = last.lock()
            && last.elapsed() >= Duration::from_secs(2)
        {
            *last = Instant::now();
            say(word);
        }
    }
}

pub fn tell(report: &Report) {
    let (is_back, are_built) = if report.dry_run {
        ("could come back", "would be built again")
    } else {
        ("came back", "are built again")
    };
    println!(
        "events     {} looked up, {} missing, {} {is_back}",
        report.events, report.missing_events, report.healed_events
    );
    println!(
        "outcomes   {} looked up, {} {is_back}, {} lost",
        report.commands, report.healed_outcomes, report.lost_outcomes
    );
    if !report.broken_views.is_empty() {
        println!("views      {} {are_built}", report.broken_views.join(", "));
    }
    for one in &report.unhealable {
        println!(
            "STAYS      {} {} from version {}: {}",
            one.context, one.aggregate, one.version, one.why
        );
    }
    if !report.found_anything() {
        println!("nothing is missing");
    }
}

/// The embedded database, with everything in it that the streams say should be.
pub struct Whole {
    pub store: Store,
    /// Whether that is so: it may be started without.
    pub is_whole: bool,
}

/// Opens the embedded database, and heals it unless it was closed when it was last used.
pub async fn open(
    nats: &Nats,
    data: &Path,
    closed: &Closed,
    unhealed: bool,
) -> Result<Whole, Box<dyn std::error::Error>> {
    let is_new = !data.join("db").exists();
    let store = parts::database(data).await?;
    let since = Mark::of(&store).await?;
    let was_closed = closed.at == Some(since);
    metrics::gauge!("maru_start_unclean").set(f64::from(u8::from(!was_closed && !is_new)));
    tell_metrics(&Report::default());
    let mut start = Start {
        at: Clock::system().now(),
        healed: None,
    };
    if was_closed {
        heal(nats, &store).trust(since).await?;
        start.keep(&store).await?;
        return Ok(Whole { store, is_whole: true });
    }
    let say = throttled(|word| tracing::info!("healing: {}", sentence(word)));
    let report = heal(nats, &store).mend(since, &say).await?;
    tell_metrics(&report);
    start.healed = Some(report.clone());
    if !report.found_anything() {
        start.keep(&store).await?;
        return Ok(Whole { store, is_whole: true });
    }
    tracing::warn!(report = %json!(report), "the database had lost something");
    // What came back must not get lost in the same way: closing writes it out.
    parts::close(store, &data.join("db")).await;
    if !unhealed {
        whole(&report)?;
    }
    let store = parts::reopen(data).await?;
    start.keep(&store).await?;
    Ok(Whole {
        store,
        is_whole: report.is_whole(),
    })
}

/// What this start brought back, and what it could not.
fn tell_metrics(report: &Report) {
    metrics::gauge!("maru_heal_restored_rows").set((report.healed_events + report.healed_outcomes) as f64);
    metrics::gauge!("maru_heal_missing_aggregates").set(report.unhealable_aggregates as f64);
}

impl Whole {
    /// Notes in the database how far everything is in it. Nothing may be at work any more.
    pub async fn note(&self, nats: &Nats) -> Option<Mark> {
        if !self.is_whole {
            return None;
        }
        let note = async {
            let mark = heal(nats, &self.store).now().await?;
            mark.keep(&self.store).await?;
            Ok::<_, HealError>(mark)
        };
        match note.await {
            Ok(mark) => Some(mark),
            Err(error) => {
                tracing::warn!(%error, "the next start will look whether everything is there");
                None
            }
        }
    }

    /// Closes it, and leaves word that there is nothing to heal.
    pub async fn close(self, data: &Path, closed: Closed, mark: Option<Mark>) -> std::io::Result<()> {
        let is_closed = parts::close(self.store, &data.join("db")).await;
        match mark {
            Some(mark) if is_closed => closed.leave(mark),
            _ => Ok(()),
        }
    }
}
