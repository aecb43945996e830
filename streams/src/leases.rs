//! The right to be the only one in the whole cluster, or one of n.
//!
//! A lease is a row in the database: who holds it is told by its **fence**, a number that grows with every
//! new holder, and it ends [`TTL`] after the holder last renewed it, by the database's own clock. A holder
//! that dies frees it by saying nothing. One that was frozen and comes back notices in one of three ways:
//! [`Lease::is_held`] goes by the time since it last heard from the database, [`Lease::lost`] ends, and what
//! it writes under [`FENCED`] is refused.
//!
//! Only the last of these is proof. An effect elsewhere (a deleted image) can still come from a holder who
//! was frozen between asking and doing, so what is done under a lease is harmless when done twice.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use surrealdb::types::{Datetime, RecordId, SurrealValue, Value};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::intention::Clock;
use crate::store::{Key, Part, Store, StoreError, Tx, range, retry};

/// How long a holder that falls silent is waited for.
pub const TTL: Duration = Duration::from_secs(15);
/// How often a holder says that it is there, and how often others ask whether it still is.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How long the database may take for it, and how soon it is asked again: one answer that does not come must not cost the
/// lease.
const RENEW_WITHIN: Duration = Duration::from_secs(5);
const RENEW_AGAIN: Duration = Duration::from_secs(1);
const _: () = assert!(RENEW_EVERY.as_secs() + RENEW_WITHIN.as_secs() + RENEW_AGAIN.as_secs() < TTL.as_secs());

/// The beginning of a transaction that only the holder may commit: bind `lease` to
/// [`Lease::fence`]. Whoever takes the lease at the same moment collides with it.
pub const FENCED: &str = "LET $place = $lease.place; \
     IF (SELECT VALUE fence FROM ONLY $place FOR UPDATE) != $lease.fence { THROW 'lease_lost' };";

const TAKE: &str = "{
    LET $now = $at ?? time::now();
    FOR $place IN $places {
        LET $row = (SELECT fence, until FROM ONLY $place);
        IF $row IS NONE {
            CREATE $place CONTENT { fence: 1, until: $now + $ttl } RETURN NONE;
            RETURN { place: $place, fence: 1 };
        };
        IF $row.until <= $now {
            UPDATE $place SET fence += 1, until = $now + $ttl RETURN NONE;
            RETURN { place: $place, fence: $row.fence + 1 };
        };
    };
    RETURN NONE;
}";

const RENEW: &str = "{
    LET $now = $at ?? time::now();
    LET $kept = (UPDATE $lease.place SET until = $now + $ttl
        WHERE fence = $lease.fence AND until > $now RETURN VALUE fence);
    RETURN array::len($kept) = 1;
}";

const FREE: &str = "{
    UPDATE $lease.place SET until = $at ?? time::now() WHERE fence = $lease.fence RETURN NONE;
    RETURN NONE;
}";

/// Where leases are taken.
#[derive(Clone)]
pub struct Leases {
    store: Store,
    /// Instead of the database's own: a test's clock.
    clock: Option<Clock>,
}

/// Which place is held, and by the how manieth holder: what [`FENCED`] compares.
#[derive(Debug, Clone, PartialEq, SurrealValue)]
pub struct Fence {
    place: RecordId,
    fence: i64,
}

/// A right that is held. Dropping it gives it back.
pub struct Lease {
    leases: Leases,
    fence: Fence,
    heard: Arc<Mutex<Instant>>,
    lost: CancellationToken,
    renewing: JoinHandle<()>,
    is_free: bool,
}

impl Leases {
    /// The leases of this database.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store, clock: None }
    }

    /// Leases that end by a test's clock.
    #[cfg(feature = "testing")]
    #[must_use]
    pub const fn by(store: Store, clock: Clock) -> Self {
        Self {
            store,
            clock: Some(clock),
        }
    }

    /// Takes the right of this name; none if somebody else has it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take(&self, name: &str) -> Result<Option<Lease>, StoreError> {
        self.many(name, 1).await
    }

    /// Takes one of `n` rights of this name; none if all are held. `n` must be the same for everybody;
    /// after it was made smaller, those who still hold a place beyond it keep theirs until they stop.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn many(&self, name: &str, n: u32) -> Result<Option<Lease>, StoreError> {
        let asked = Instant::now();
        let fence = self.claim(name, n).await?;
        Ok(fence.map(|fence| Lease::held(self.clone(), fence, asked)))
    }

    async fn claim(&self, name: &str, n: u32) -> Result<Option<Fence>, StoreError> {
        // Everybody begins at another place, so that those who come together do not all collide at one.
        let first = rand::random_range(0..n.max(1));
        let places: Vec<RecordId> = (0..n)
            .map(|nth| {
                let place = i64::from((first + nth) % n);
                Key::new("lease", [Part::from(name), Part::Number(place)]).record()
            })
            .collect();
        match self.run(TAKE, "places", places).await? {
            Tx::Done(Value::None | Value::Null) => Ok(None),
            Tx::Done(taken) => Fence::from_value(taken)
                .map(Some)
                .map_err(|error| StoreError::Commit(error.to_string())),
            // Two made the same row at the same moment.
            Tx::Duplicate(_) => Ok(None),
            other => Err(other.into()),
        }
    }

    /// Waits until the right of this name is ours; none when told to stop.
    pub async fn wait(&self, name: &str, stop: &CancellationToken) -> Option<Lease> {
        while !stop.is_cancelled() {
            match self.take(name).await {
                Ok(Some(lease)) => return Some(lease),
                Ok(None) => {}
                Err(error) => tracing::warn!(name, %error, "a lease could not be asked for"),
            }
            let _ = stop.run_until_cancelled(tokio::time::sleep(RENEW_EVERY)).await;
        }
        None
    }

    /// Ends every lease, whoever has it. Right where nobody else can have the database open: then those
    /// who held one are gone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_all(&self) -> Result<(), StoreError> {
        let all = range("lease", &[], &[]);
        match self
            .run(
                "{ UPDATE $all SET until = $at ?? time::now() RETURN NONE; RETURN NONE; }",
                "all",
                all,
            )
            .await?
        {
            Tx::Done(_) => Ok(()),
            other => Err(other.into()),
        }
    }

    /// Whether it was still ours, and now is for longer.
    async fn renew(&self, fence: &Fence) -> Result<bool, StoreError> {
        match self.run(RENEW, "lease", fence.clone()).await? {
            Tx::Done(kept) => Ok(kept == Value::Bool(true)),
            other => Err(other.into()),
        }
    }

    async fn give_back(&self, fence: Fence) {
        if let Err(error) = self.run(FREE, "lease", fence).await {
            tracing::debug!(%error, "a lease was not given back; it ends by itself");
        }
    }

    async fn run(&self, text: &str, name: &str, value: impl SurrealValue + Clone) -> Result<Tx, StoreError> {
        let at = self.clock.as_ref().map(|clock| clock.now().to_string());
        let at: Option<Datetime> = at.and_then(|at| at.parse().ok());
        retry(|| {
            self.store
                .db()
                .query(text)
                .bind((name.to_owned(), value.clone()))
                .bind(("at", at))
                .bind(("ttl", surrealdb::types::Duration::from(TTL)))
                .into_future()
        })
        .await
    }
}

impl Lease {
    fn held(leases: Leases, fence: Fence, asked: Instant) -> Self {
        let lost = CancellationToken::new();
        let heard = Arc::new(Mutex::new(asked));
        let renewing = tokio::spawn({
            let (leases, fence, heard, lost) = (leases.clone(), fence.clone(), Arc::clone(&heard), lost.clone());
            async move {
                keep(&leases, &fence, &heard).await;
                metrics::counter!("maru_leases_lost_total").increment(1);
                lost.cancel();
            }
        });
        Self {
            leases,
            fence,
            heard,
            lost,
            renewing,
            is_free: false,
        }
    }

    /// What [`FENCED`] compares: bind it as `lease`.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Whether it is certainly ours at this moment. Ask before each step that others must not take.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.lost.is_cancelled() && is_fresh(&self.heard)
    }

    /// Waits until it is ours no more.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Gives it back, and waits until others can have it. Dropping it does the same in its own time.
    pub async fn free(mut self) {
        self.is_free = true;
        self.leases.give_back(self.fence.clone()).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
        // Outside a runtime (a process that is ending) it ends by itself.
        if !self.is_free
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (leases, fence) = (self.leases.clone(), self.fence.clone());
            runtime.spawn(async move { leases.give_back(fence).await });
        }
    }
}

/// Time is counted from before the database was asked, so it is over here before it is over there.
fn is_fresh(heard: &Mutex<Instant>) -> bool {
    heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < TTL
}

/// Renews until it is no longer ours.
async fn keep(leases: &Leases, fence: &Fence, heard: &Mutex<Instant>) {
    let mut wait = RENEW_EVERY;
    while is_fresh(heard) {
        tokio::time::sleep(wait).await;
        let asked = Instant::now();
        wait = RENEW_AGAIN;
        match tokio::time::timeout(RENEW_WITHIN, leases.renew(fence)).await {
            Ok(Ok(true)) => {
                *heard.lock().unwrap_or_else(PoisonError::into_inner) = asked;
                wait = RENEW_EVERY;
            }
            Ok(Ok(false)) => return,
            Ok(Err(error)) => tracing::debug!(%error, "a lease was not renewed"),
            Err(_) => tracing::debug!("a lease was not renewed in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::MovableClock;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Take(usize),
        Renew(usize),
        Free(usize),
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let who = 0..3_usize;
        let step = prop_oneof![
            3 => who.clone().prop_map(Step::Take),
            2 => who.clone().prop_map(Step::Renew),
            1 => who.prop_map(Step::Free),
            2 => (1..20_u64).prop_map(Step::Pass),
        ];
        proptest::collection::vec(step, 1..40)
    }

    /// Whether a write under this fence goes through.
    async fn writes(store: &Store, fence: &Fence) -> bool {
        let text = format!("{{ {FENCED} RETURN true; }}");
        let run = || store.db().query(&text).bind(("lease", fence.clone())).into_future();
        match retry(run).await.unwrap() {
            Tx::Done(_) => true,
            Tx::Refused(why) => {
                assert_eq!(why, "lease_lost");
                false
            }
            other => panic!("{other:?}"),
        }
    }

    /// Plays the steps, and compares each answer with what a list of holders says.
    async fn play(n: u32, steps: Vec<Step>) {
        let store = Store::open("mem://", None).await.unwrap();
        let clock = MovableClock::default();
        let leases = Leases::by(store.clone(), clock.clock());
        let mut now = 0_u64;
        // Place by place: the newest fence, and when it ends.
        let mut rows: Vec<(Fence, u64)> = Vec::new();
        let mut hands: [Option<Fence>; 3] = [None, None, None];
        for step in steps {
            let live = rows.iter().filter(|(_, until)| *until > now).count();
            match step {
                Step::Pass(seconds) => {
                    clock.advance(Duration::from_secs(seconds));
                    now += seconds;
                }
                Step::Take(who) => {
                    let taken = leases.claim("x", n).await.unwrap();
                    assert_eq!(taken.is_some(), live < n as usize, "{live} of {n} are held");
                    if let Some(taken) = taken {
                        if let Some(row) = rows.iter_mut().find(|(old, _)| old.place == taken.place) {
                            assert!(row.1 <= now && taken.fence == row.0.fence + 1);
                            *row = (taken.clone(), now + TTL.as_secs());
                        } else {
                            rows.push((taken.clone(), now + TTL.as_secs()));
                        }
                        hands[who] = Some(taken);
                    }
                }
                Step::Renew(who) => {
                    let Some(fence) = &hands[who] else { continue };
                    let row = rows.iter_mut().find(|(held, until)| held == fence && *until > now);
                    assert_eq!(leases.renew(fence).await.unwrap(), row.is_some());
                    if let Some(row) = row {
                        row.1 = now + TTL.as_secs();
                    }
                }
                Step::Free(who) => {
                    let Some(fence) = hands[who].take() else { continue };
                    leases.give_back(fence.clone()).await;
                    for row in rows.iter_mut().filter(|(held, _)| *held == fence) {
                        row.1 = now;
                    }
                }
            }
            for fence in hands.iter().flatten() {
                let is_newest = rows.iter().any(|(held, _)| held == fence);
                assert_eq!(
                    writes(&store, fence).await,
                    is_newest,
                    "an older holder's writes are refused"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn never_more_hold_it_than_there_are_places(n in 1..4_u32, steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(play(n, steps));
        }
    }
}
