//! How long committed events have waited for EVENTS, looked at by every process with workers: rows come and go all
//! the time, so that there are some says nothing; that one of them is old does.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::intention::Clock;
use crate::store::{Store, StoreError};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The most rows of one look.
const MOST: i64 = 500;

/// Exports the age of the oldest, until told to stop.
pub async fn watch(store: Store, clock: Clock, stop: CancellationToken) {
    loop {
        match oldest(&store).await {
            Ok(at) => {
                let age = at.map_or(0.0, |at| clock.now().duration_since(at).as_secs_f64().max(0.0));
                metrics::gauge!("maru_outbox_oldest_seconds").set(age);
            }
            Err(error) => tracing::debug!(%error, "the outbox cannot be looked at"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

/// When the oldest event that is not published and cleared was asked for.
async fn oldest(store: &Store) -> Result<Option<Timestamp>, StoreError> {
    let mut rows = store
        .db()
        .query("SELECT VALUE envelope.time FROM outbox LIMIT $most")
        .bind(("most", MOST))
        .await?;
    let times: Vec<String> = rows.take(0)?;
    Ok(times.iter().filter_map(|time| time.parse().ok()).min())
}
