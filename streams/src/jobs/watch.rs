//! Looks after every consumer from time to time, so that what waits is seen even where no worker runs.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::nats::Nats;
use crate::topology::Consumer;

/// Asking more often than this costs the server more than it tells us.
const EVERY: Duration = Duration::from_secs(15);

/// Exports what waits in each consumer, until told to stop.
pub async fn watch(nats: Nats, consumers: Vec<Consumer>, stop: CancellationToken) {
    loop {
        for consumer in &consumers {
            let lane = consumer.name.clone();
            match nats
                .jetstream()
                .get_consumer_from_stream::<async_nats::jetstream::consumer::pull::Config, _, _>(
                    &consumer.name,
                    consumer.stream,
                )
                .await
            {
                Ok(found) => {
                    let info = found.cached_info();
                    metrics::gauge!("maru_lane_pending_messages", "lane" => lane.clone()).set(info.num_pending as f64);
                    metrics::gauge!("maru_lane_unsettled_messages", "lane" => lane.clone())
                        .set(info.num_ack_pending as f64);
                    metrics::gauge!("maru_lane_redelivered_messages", "lane" => lane).set(info.num_redelivered as f64);
                }
                Err(error) => tracing::debug!(%lane, %error, "a consumer cannot be looked up"),
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}
