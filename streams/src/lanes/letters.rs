//! How many dead letters are open: the newest message under a subject of DEAD says how its letter stands.

use std::collections::BTreeMap;

use async_nats::jetstream::consumer::DeliverPolicy;

use crate::letters::{STATE, is_open};
use crate::nats::Nats;
use crate::scan::scan;
use crate::subject::Subject;
use crate::topology::{DEAD, TopologyError};

/// Open dead letters by lane; lanes without any are not named.
///
/// # Errors
/// When the server cannot be asked.
pub async fn open_letters(nats: &Nats) -> Result<BTreeMap<String, u64>, TopologyError> {
    let mut open = BTreeMap::new();
    scan(
        nats,
        DEAD,
        "dead.>",
        DeliverPolicy::LastPerSubject,
        u64::MAX,
        |message| {
            if let Some(Subject::Dead { lane, .. }) = Subject::parse(&message.subject)
                && message.header(STATE).is_some_and(is_open)
            {
                *open.entry(lane.to_owned()).or_default() += 1;
            }
        },
    )
    .await?;
    Ok(open)
}
