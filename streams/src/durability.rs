//! How durable "accepted" is, read from the servers themselves and not from our own settings. One thing cannot be read: a
//! database server behind `ws://` does not tell whether it writes through, and is taken at its address's word.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::nats::Nats;
use crate::store::Addresses;
use crate::topology::{COMMANDS, EVENTS};

/// What a 2xx promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// It is on disk: a power cut does not lose it.
    Fsynced,
    /// A majority of servers has it, though not each on disk yet.
    Replicated,
    /// The operating system has it: the process may die, the machine may not.
    Buffered,
}

impl Durability {
    /// As it stands in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fsynced => "fsynced",
            Self::Replicated => "replicated",
            Self::Buffered => "buffered",
        }
    }
}

/// How often a server's health is asked for, and after how many times durability is read again.
const LOOK_EVERY: Duration = Duration::from_secs(15);
const READ_AGAIN: u32 = 4;

/// Reads what the servers really do: `monitor` is nats-server's monitoring address. Of several databases the
/// weakest counts. What cannot be learnt counts as not promised.
pub async fn read(nats: &Nats, monitor: Option<&str>, databases: &Addresses) -> Durability {
    let streams = streams(nats, monitor).await.unwrap_or_else(|why| {
        tracing::warn!(%why, "cannot learn whether nats-server writes through; assuming that it does not");
        Durability::Buffered
    });
    told(streams, databases)
}

/// Goes on looking: somebody may set the servers otherwise while we run, and a server whose disk has failed says
/// so at its monitoring address alone. What cannot be learnt now is as it was.
pub async fn watch(nats: Nats, monitor: Option<String>, databases: Addresses, stop: CancellationToken) {
    for nth in (0..READ_AGAIN).cycle() {
        if let Some(monitor) = &monitor {
            let is_healthy = healthz(monitor).await;
            metrics::gauge!("maru_nats_healthy").set(f64::from(u8::from(is_healthy)));
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
        if nth + 1 == READ_AGAIN {
            match streams(&nats, monitor.as_deref()).await {
                Ok(streams) => {
                    told(streams, &databases);
                }
                Err(why) => tracing::debug!(%why, "durability cannot be read again now"),
            }
        }
    }
}

/// What that is worth with these databases, which the metrics show from here on.
fn told(streams: Durability, databases: &Addresses) -> Durability {
    let found = match databases.all().all(database_keeps) {
        true => streams,
        false => Durability::Buffered,
    };
    for durability in [Durability::Fsynced, Durability::Replicated, Durability::Buffered] {
        metrics::gauge!("maru_durability_info", "durability" => durability.as_str()).set(if durability == found {
            1.0
        } else {
            0.0
        });
    }
    found
}

async fn streams(nats: &Nats, monitor: Option<&str>) -> Result<Durability, Unknown> {
    let mut replicas = usize::MAX;
    for name in [COMMANDS, EVENTS] {
        let stream = nats.jetstream().get_stream(name).await;
        let stream = stream.map_err(|error| Unknown(error.to_string()))?;
        replicas = replicas.min(stream.cached_info().config.num_replicas);
    }
    let synced = match monitor {
        Some(monitor) => syncs_always(monitor).await.map_err(|error| Unknown(error.to_string())),
        None => Ok(false),
    };
    match (synced, replicas) {
        (Ok(true), _) => Ok(Durability::Fsynced),
        // Whatever the server does with its disk, others have it too.
        (_, 3..) => Ok(Durability::Replicated),
        (Ok(false), _) => Ok(Durability::Buffered),
        (Err(why), _) => Err(why),
    }
}

/// Why durability is not known.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unknown(String);

/// Whether the server says that it is well, its streams included.
async fn healthz(monitor: &str) -> bool {
    let asked = async {
        let server = client()?.get(format!("{}/healthz", monitor.trim_end_matches('/')));
        server.send().await
    };
    asked.await.is_ok_and(|answer| answer.status().is_success())
}

fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().timeout(Duration::from_secs(3)).build()
}

async fn syncs_always(monitor: &str) -> Result<bool, reqwest::Error> {
    let server: serde_json::Value = client()?
        .get(format!("{}/varz", monitor.trim_end_matches('/')))
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    Ok(server["jetstream"]["config"]["sync_always"].as_bool() == Some(true))
}

/// A database in memory keeps nothing; the others write through unless the URL says otherwise.
fn database_keeps(url: &str) -> bool {
    let relaxed = url
        .split_once('?')
        .is_some_and(|(_, settings)| settings.contains("sync=") && !settings.contains("sync=every"));
    !url.starts_with("mem") && !relaxed
}

#[cfg(test)]
mod tests {
    use super::database_keeps;

    #[test]
    fn a_database_that_does_not_write_through_promises_nothing() {
        assert!(database_keeps("surrealkv:///data"));
        assert!(database_keeps("surrealkv:///data?sync=every"));
        assert!(!database_keeps("surrealkv:///data?sync=never"));
        assert!(!database_keeps("surrealkv:///data?sync=200ms"));
        assert!(!database_keeps("mem://"));
    }
}
