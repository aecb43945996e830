//! How many letters are open, for who watches.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Letters;
use super::log::is_open;
use crate::topology::DEAD;

/// How often DEAD is looked at; the letters are counted only if something has come since.
const EVERY: Duration = Duration::from_secs(15);

impl Letters {
    /// Exports how many letters of each lane are open, until told to stop.
    pub async fn count(self, stop: CancellationToken) {
        let (mut seen, mut open) = (None, BTreeMap::new());
        loop {
            match self.nats.jetstream().get_stream(DEAD).await {
                Ok(stream) => {
                    let state = &stream.cached_info().state;
                    let now = Some((state.first_sequence, state.last_sequence));
                    if now != seen && self.count_open(&mut open).await {
                        seen = now;
                    }
                }
                Err(error) => tracing::debug!(%error, "the dead letters cannot be counted"),
            }
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Counts anew. A lane that had some keeps its series, at 0.
    async fn count_open(&self, open: &mut BTreeMap<String, u32>) -> bool {
        open.values_mut().for_each(|count| *count = 0);
        let counted = self
            .each_header(|head| {
                if is_open(head.state) {
                    *open.entry(head.lane.to_owned()).or_default() += 1;
                }
            })
            .await;
        if let Err(error) = &counted {
            tracing::debug!(%error, "the dead letters cannot be counted");
            return false;
        }
        for (lane, count) in open {
            metrics::gauge!("maru_dead_letters_open", "lane" => lane.clone()).set(*count);
        }
        true
    }
}
