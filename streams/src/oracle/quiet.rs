//! Whether there is anything left to do.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use super::facts::FactsError;
use crate::nats::Nats;
use crate::topology::{COMMANDS, EVENTS, JOBS};

/// What each lane and view has not settled yet, by consumer; those that have nothing left are not named.
///
/// # Errors
/// When the server does not tell.
pub async fn left(nats: &Nats) -> Result<BTreeMap<String, u64>, FactsError> {
    let mut left = BTreeMap::new();
    for name in [COMMANDS, JOBS, EVENTS] {
        let failed = |why: &dyn std::fmt::Display| FactsError::Stream(name, why.to_string());
        let stream = nats.jetstream().get_stream_no_info(name).await;
        let stream = stream.map_err(|error| failed(&error))?;
        let mut consumers = stream.consumers();
        while let Some(consumer) = consumers.try_next().await.map_err(|error| failed(&error))? {
            // One without a durable name is somebody's who watches.
            let open = consumer.num_pending + consumer.num_ack_pending as u64;
            if consumer.config.durable_name.is_some() && open > 0 {
                left.insert(consumer.name, open);
            }
        }
    }
    Ok(left)
}
