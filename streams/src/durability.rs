//! How durable "accepted" is, read from the servers themselves and not from our own settings.

use serde::{Deserialize, Serialize};

use crate::nats::Nats;
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

/// Reads what the servers really do: `monitor` is nats-server's monitoring address, `database` the
/// database's URL. What cannot be learnt counts as not promised.
pub async fn read(nats: &Nats, monitor: Option<&str>, database: &str) -> Durability {
    let streams = streams(nats, monitor).await;
    let found = match database_keeps(database) {
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

async fn streams(nats: &Nats, monitor: Option<&str>) -> Durability {
    let mut replicas = usize::MAX;
    for name in [COMMANDS, EVENTS] {
        match nats.jetstream().get_stream(name).await {
            Ok(stream) => replicas = replicas.min(stream.cached_info().config.num_replicas),
            Err(_) => return Durability::Buffered,
        }
    }
    let synced = match monitor {
        Some(monitor) => syncs_always(monitor).await.unwrap_or_else(|why| {
            tracing::warn!(%why, "cannot learn whether nats-server writes through; assuming that it does not");
            false
        }),
        None => false,
    };
    match (synced, replicas) {
        (true, _) => Durability::Fsynced,
        (false, 3..) => Durability::Replicated,
        (false, _) => Durability::Buffered,
    }
}

async fn syncs_always(monitor: &str) -> Result<bool, reqwest::Error> {
    let server: serde_json::Value = reqwest::Client::builder()
        .timeout(std::time::Duration::from_secs(3))
        .build()?
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
