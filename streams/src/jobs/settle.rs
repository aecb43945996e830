//! Telling the server what became of a message. An acknowledgement counts when the server has
//! confirmed it; one that gets lost leaves the message to be delivered again, which the ring of
//! settled messages and the inbox make harmless.

use std::time::Duration;

use async_nats::{Request, RequestErrorKind};
use tokio::time::Instant;

use super::lease::Lease;
use crate::nats::Nats;

/// How long a confirmation may take. Requests in flight when a connection drops are simply lost.
const CONFIRM: Duration = Duration::from_secs(2);
/// So often the server may stay silent; then it does not know this delivery any more.
const TRIES: u32 = 3;
/// Between two tries where nobody listens: a server that has just started answers before it knows its consumers.
const PAUSE: Duration = Duration::from_millis(200);
/// How long is tried before a settlement is left to the redelivery.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a lane that is told to stop waits for a server that is away.
const AWAY_AT_THE_END: Duration = Duration::from_secs(1);

/// What became of telling the server.
enum Told {
    Confirmed,
    /// There is no such delivery.
    Nothing,
    /// It may have heard, or not.
    Silent,
    /// Nobody was there to hear it.
    Nobody,
}

async fn tell(nats: &Nats, reply: &str, what: String) -> Told {
    if reply.is_empty() {
        return Told::Nothing;
    }
    if !nats.is_connected() {
        return Told::Nobody;
    }
    // One clock for all of it, the wait for a place in the client's queue too.
    let request = Request::new().payload(what.into()).timeout(None);
    match tokio::time::timeout(CONFIRM, nats.client().send_request(reply.to_owned(), request)).await {
        Ok(Ok(_)) => Told::Confirmed,
        Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => Told::Nobody,
        _ => Told::Silent,
    }
}

async fn settle(nats: &Nats, lease: &Lease, what: String, finished: bool) {
    let (until, mut silences) = (Instant::now() + PATIENCE, 0);
    while Instant::now() < until && silences < TRIES {
        // Asked anew each time: a redelivery meanwhile brings a newer subject.
        match tell(nats, &lease.reply(), what.clone()).await {
            Told::Confirmed => {
                lease.settled(finished);
                return;
            }
            Told::Nothing => break,
            Told::Silent => silences += 1,
            Told::Nobody => {}
        }
        let mut connects = nats.connects();
        if nats.is_connected() {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let at_the_end = async {
            lease.closing().await;
            tokio::time::sleep(AWAY_AT_THE_END).await;
        };
        tokio::select! {
            _ = connects.changed() => {}
            () = tokio::time::sleep_until(until) => {}
            () = at_the_end => break,
        }
    }
    metrics::counter!("maru_lane_unconfirmed_acks_total").increment(1);
    tracing::debug!(
        seq = lease.ticket.0,
        "the server did not confirm; it will deliver the message again"
    );
    lease.settled(finished);
}

/// It is finished for good.
pub(super) async fn ack(nats: &Nats, lease: &Lease) {
    settle(nats, lease, "+ACK".to_owned(), true).await;
}

/// It is to come again after a while.
pub(super) async fn nak(nats: &Nats, lease: &Lease, wait: Duration) {
    lease.let_go();
    settle(nats, lease, delayed(wait), false).await;
}

/// It lies in the dead letters and is not to come again.
pub(super) async fn term(nats: &Nats, lease: &Lease, code: &str) {
    settle(nats, lease, format!("+TERM {code}"), true).await;
}

/// Confirms again what had been settled, until somebody hears: a consumer that has just been made may deliver
/// before it listens.
pub(super) async fn acknowledge(nats: &Nats, reply: &str) {
    let (until, mut silences) = (Instant::now() + PATIENCE, 0);
    while Instant::now() < until && silences < TRIES {
        match tell(nats, reply, "+ACK".to_owned()).await {
            Told::Confirmed | Told::Nothing => return,
            Told::Silent => silences += 1,
            Told::Nobody => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Returns a message that nobody worked on. Once: a process that ends does not wait for a server that is away.
pub(super) async fn hand_back(nats: &Nats, reply: &str, wait: Duration) {
    tell(nats, reply, delayed(wait)).await;
}

/// Says that somebody is still at work. Unconfirmed: the next one follows soon.
pub(super) async fn in_progress(nats: &Nats, replies: Vec<String>) {
    for reply in replies {
        if nats.is_connected() && !reply.is_empty() {
            let _ = nats.client().publish(reply, "+WPI".into()).await;
        }
    }
}

fn delayed(wait: Duration) -> String {
    format!("-NAK {{\"delay\": {}}}", wait.as_nanos())
}
