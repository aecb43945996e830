//! Whether a lane hears: looks at its consumers from time to time, and mends what is wrong with them.
//!
//! A lane is **deaf** when messages wait for it at one of them, it has room for them, and nothing is delivered. First it
//! asks anew, then it makes its consumer anew, and if that does not help either, the process says that it
//! is not well, so that whoever runs it starts it again. A consumer that somebody deleted is made anew at
//! once, from where everything before was settled; what comes a second time meets the inbox.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::Info;

use super::lane::Shared;
use crate::letters::parked::drop_settled;
use crate::store::{Key, Part, Store, StoreError, Tx, retry};
use crate::topology::{self, Consumer, EVENTS, TopologyError};

/// Looking more often costs the server more than it tells us.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(15);

/// What a look at the consumer says is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advice {
    /// It hears, or there is nothing to hear.
    Fine,
    /// Perhaps a question of ours was lost.
    AskAnew,
    /// The consumer does not deliver.
    MakeAnew,
    /// Nothing of it helped.
    NotWell,
}

/// What the looks so far have seen.
#[derive(Debug, Default)]
struct Ear {
    delivered: u64,
    silent_looks: u32,
}

/// What one look sees.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Deliveries so far.
    delivered: u64,
    /// Whether something waits that could be delivered to us.
    is_due: bool,
}

impl Look {
    fn at(info: &Info, has_room: bool) -> Self {
        let held_up = i64::try_from(info.num_ack_pending).is_ok_and(|held| held >= info.config.max_ack_pending);
        Self {
            delivered: info.delivered.consumer_sequence,
            is_due: info.num_pending > 0 && !info.paused && !held_up && has_room,
        }
    }
}

impl Ear {
    fn look(&mut self, look: Look) -> Advice {
        let is_silent = look.is_due && look.delivered == self.delivered;
        self.delivered = look.delivered;
        self.silent_looks = if is_silent { self.silent_looks + 1 } else { 0 };
        match self.silent_looks {
            0 | 1 => Advice::Fine,
            2 => Advice::AskAnew,
            3 => Advice::MakeAnew,
            4 | 5 => Advice::Fine,
            _ => Advice::NotWell,
        }
    }

    const fn is_deaf(&self) -> bool {
        self.silent_looks > 1
    }
}

/// Looks after a lane's hearing until the lane is aborted.
pub(super) async fn listen(shared: Arc<Shared>) {
    let mut ears: Vec<Ear> = shared.sources.iter().map(|_| Ear::default()).collect();
    let mut looks = tokio::time::interval(shared.look_every);
    loop {
        looks.tick().await;
        let mut is_well = true;
        for (source, ear) in ears.iter_mut().enumerate() {
            let Consumer { stream, name, .. } = &shared.sources[source];
            match topology::consumer_info(&shared.held.nats, stream, name).await {
                Ok(info) => {
                    keep(&shared, source, &info).await;
                    let advice = ear.look(Look::at(&info, shared.held.free(source) > 0));
                    is_well &= advice != Advice::NotWell;
                    follow(&shared, source, advice).await;
                }
                // While the server is away there is nothing to look at; a missing consumer is the puller's to find.
                Err(error) => tracing::debug!(lane = %shared.name, %error, "the consumer cannot be looked at"),
            }
        }
        let is_deaf = ears.iter().any(Ear::is_deaf);
        metrics::gauge!("maru_lane_deaf", "lane" => shared.name.clone()).set(f64::from(u8::from(is_deaf)));
        if !is_well {
            shared.health.unwell(&shared.name, "deaf");
        } else if !is_deaf {
            shared.health.well(&shared.name);
        }
    }
}

async fn follow(shared: &Shared, source: usize, advice: Advice) {
    let (lane, consumer) = (&shared.name, &shared.sources[source].name);
    match advice {
        Advice::Fine => {}
        Advice::AskAnew => {
            tracing::warn!(%lane, %consumer, "messages wait and none is delivered: asking anew");
            shared.ask_anew[source].notify_one();
        }
        Advice::MakeAnew => {
            tracing::error!(%lane, %consumer, "messages wait and none is delivered: making the consumer anew");
            match make_anew(shared, source, true).await {
                Ok(()) => shared.ask_anew[source].notify_one(),
                Err(error) => tracing::error!(%lane, %error, "the consumer could not be made anew"),
            }
        }
        Advice::NotWell => {
            tracing::error!(%lane, %consumer, "still deaf: this process should be started again");
        }
    }
}

/// Notes up to where everything is settled. Of a lane on EVENTS, what waits for somebody who is settled by then waits
/// for nobody.
async fn keep(shared: &Shared, source: usize, info: &Info) {
    let Consumer { stream, name, .. } = &shared.sources[source];
    let floor = info.ack_floor.stream_sequence;
    if let Err(error) = keep_floor(&shared.store, name, floor).await {
        tracing::warn!(consumer = name, %error, "how far it is settled could not be noted");
    }
    if *stream == EVENTS
        && let Err(error) = drop_settled(&shared.store, &shared.name, floor).await
    {
        tracing::debug!(lane = %shared.name, %error, "who waits without a reason could not be looked for");
    }
}

/// Makes a consumer of the lane anew if it is not there, or in any case.
pub(super) async fn make_anew(shared: &Shared, source: usize, in_any_case: bool) -> Result<(), TopologyError> {
    let nats = &shared.held.nats;
    let consumer = &shared.sources[source];
    if in_any_case {
        topology::dismiss(nats, consumer).await?;
    } else {
        match topology::consumer_info(nats, consumer.stream, &consumer.name).await {
            Err(error) if error.is_missing() => {}
            other => return other.map(|_| ()),
        }
    }
    let floor = settled_up_to(&shared.store, &consumer.name)
        .await
        .map_err(|error| TopologyError::new("read how far the lane is settled", &error))?;
    topology::make_anew(nats, consumer, floor + 1).await?;
    tracing::warn!(lane = %shared.name, from = floor + 1, "made the consumer anew");
    metrics::counter!("maru_lane_consumers_made_total", "lane" => shared.name.clone()).increment(1);
    Ok(())
}

fn key(lane: &str) -> Key {
    Key::new("lane_floor", [Part::from(lane)])
}

/// Up to which sequence everything is settled, as far as it was noted.
pub(crate) async fn settled_up_to(store: &Store, lane: &str) -> Result<u64, StoreError> {
    let mut rows = store
        .db()
        .query("SELECT VALUE seq FROM ONLY $id")
        .bind(("id", key(lane).record()))
        .await?;
    let seq: Option<i64> = rows.take(0)?;
    Ok(seq.unwrap_or_default().unsigned_abs())
}

/// A server that died may know less than it did; what was settled stays settled.
async fn keep_floor(store: &Store, lane: &str, seq: u64) -> Result<(), StoreError> {
    if settled_up_to(store, lane).await? >= seq {
        return Ok(());
    }
    let run = || {
        store
            .db()
            .query("UPSERT $id SET seq = math::max([seq ?? 0, $seq]) RETURN NONE")
            .bind(("id", key(lane).record()))
            .bind(("seq", i64::try_from(seq).unwrap_or(i64::MAX)))
            .into_future()
    };
    match retry(run).await? {
        Tx::Done(_) => Ok(()),
        other => Err(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(seen: impl IntoIterator<Item = (u64, bool)>) -> Vec<Advice> {
        let mut ear = Ear::default();
        seen.into_iter()
            .map(|(delivered, is_due)| ear.look(Look { delivered, is_due }))
            .collect()
    }

    #[test]
    fn a_lane_that_is_delivered_to_is_never_deaf() {
        assert_eq!(looks((1..20).map(|n| (n, true))), [Advice::Fine; 19]);
    }

    #[test]
    fn a_lane_without_work_or_room_is_not_deaf() {
        assert_eq!(looks([(0, false); 20]), [Advice::Fine; 20]);
    }

    #[test]
    fn a_deaf_lane_asks_anew_then_makes_its_consumer_anew_then_is_not_well() {
        use Advice::{AskAnew, Fine, MakeAnew, NotWell};
        let seen = looks([(0, true); 8]);
        assert_eq!(seen, [Fine, AskAnew, MakeAnew, Fine, Fine, NotWell, NotWell, NotWell]);
    }

    #[test]
    fn one_delivery_makes_it_hear_again() {
        let mut seen = vec![(0, true); 6];
        seen.push((1, true));
        assert_eq!(looks(seen).last(), Some(&Advice::Fine));
    }
}
