//! How long committed events have waited for EVENTS, looked at by every process with workers: rows come and go all
//! the time, so that there are some says nothing; that one of them is old does.

use std::time::Duration;

use futures_util::future::join_all;
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
        // One that is away keeps nobody from seeing how the others stand.
        join_all(store.each().map(async |room| match oldest(&room).await {
            Ok(at) => {
                let age = at.map_or(0.0, |at| clock.now().duration_since(at).as_secs_f64().max(0.0));
                metrics::gauge!("maru_outbox_oldest_seconds", "database" => room.name()).set(age);
            }
            Err(error) => tracing::debug!(database = room.name(), %error, "the outbox cannot be looked at"),
        }))
        .await;
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

/// When the oldest event that is not published and cleared was asked for.
async fn oldest(room: &Store) -> Result<Option<Timestamp>, StoreError> {
    let mut rows = room
        .db()
        .query("SELECT VALUE envelope.time FROM outbox LIMIT $most")
        .bind(("most", MOST))
        .await?;
    let times: Vec<String> = rows.take(0)?;
    Ok(times.iter().filter_map(|time| time.parse().ok()).min())
}
