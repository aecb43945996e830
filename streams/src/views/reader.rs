//! Reads EVENTS in order and folds it, batch by batch.
//!
//! The mark in the database is the only truth about how far a colour of a view has read. The server serves one
//! reader of a consumer at a time; the others stand by, follow the mark, and leave the consumer alone. It is set
//! back to the mark only by whoever is served, or when nobody folds what was delivered. The mark is moved under
//! the condition that it still stands where the reader found it, so that two readers, should it come to that,
//! cannot both write.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message;
use futures_util::FutureExt;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::ahead::Prepared;
use super::batch::is_ours;
use super::plan::{Place, Plan, PlanError, Plans, Stage};
use super::rows::{FoldError, Rows};
use super::served::{at_server, first_event, set_back};
use super::view::{Role, View};
use super::{build, status};
use crate::jobs::{Next, Session, SessionError};
use crate::nats::Nats;
use crate::store::{Store, StoreError};
use crate::topology::{EVENTS, READER_GROUP, TopologyError, provide, summon};

/// The most events of one transaction. A reader that has caught up finds a few at a time; one that is
/// far behind writes each row once a batch, however often it changed.
pub(super) const BATCH: usize = 2048;
/// How often a reader that has nothing to do looks whether the plan has changed.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the mark may stay behind at events of contexts that the view does not listen to. Moving it is a
/// commit, and with a commit for each of them every view would cost as much as one that folds it.
const PASSING: Duration = Duration::from_millis(100);
/// How long a view rests after a batch. One with a single event costs much the same as one with twenty, so under
/// load it folds many in one and leaves the machine to the commands that they wait for. An event that comes alone
/// is folded at once, and who reads what they wrote waits no longer than a tenth of a second for it.
const REST: Duration = Duration::from_millis(80);
/// How long what was delivered to somebody may stay unfolded before who stands by takes that one for gone.
const STILL: Duration = Duration::from_secs(2);
/// How long a reader that leaves may take to give back what it has not folded.
const LEAVING: Duration = Duration::from_secs(1);
/// How often one that is built looks whether the one that people read has come further.
const MEET_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{source}")]
    Fold { seq: u64, source: FoldError },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error("set the consumer back: {0}")]
    Reset(String),
    #[error("event {seq} came after {mark}: what lies between is missing")]
    Hole { seq: u64, mark: u64 },
    #[error("the mark or the plan was changed by somebody else")]
    Moved,
    #[error("what was delivered to somebody is not folded")]
    Left,
}

/// What is known from earlier readings.
#[derive(Default)]
struct Before {
    /// Who the server takes us for, if it serves us.
    pin: Option<String>,
    /// Whether somebody left behind what was delivered to them.
    is_left: bool,
}

impl ReadError {
    /// Whether it says nothing bad about anybody.
    const fn is_harmless(&self) -> bool {
        matches!(
            self,
            Self::Moved | Self::Left | Self::Session(SessionError::Reconnected)
        )
    }
}

/// Keeps a view up to date until told to stop, and builds its next version when that is asked for.
pub async fn read(nats: Nats, store: Store, view: Arc<dyn View>, stop: CancellationToken) {
    let keep = |role| keep(nats.clone(), store.clone(), Arc::clone(&view), role, stop.clone());
    tokio::join!(keep(Role::Read), keep(Role::Other));
}

pub(super) async fn keep(nats: Nats, store: Store, view: Arc<dyn View>, role: Role, stop: CancellationToken) {
    let (name, mut trouble, mut before) = (view.name(), 0_u32, Before::default());
    while !stop.is_cancelled() {
        let Err(error) = reading(&nats, &store, &*view, role, &mut before, &stop).await else {
            return;
        };
        before.is_left = matches!(error, ReadError::Left);
        trouble = if error.is_harmless() { 0 } else { trouble + 1 };
        metrics::counter!("maru_view_restarts_total", "view" => name, "colour" => role.word()).increment(1);
        if trouble > 2 {
            tracing::warn!(view = name, colour = role.word(), %error, "the view waits");
            status::note_waiting(&store, name, role, &error).await;
        } else {
            tracing::debug!(view = name, colour = role.word(), %error, "reading anew");
        }
        let wait = Duration::from_millis(50).saturating_mul(1 << trouble.min(8));
        let _ = stop.run_until_cancelled(sleep(wait)).await;
    }
}

async fn reading(
    nats: &Nats,
    store: &Store,
    view: &dyn View,
    role: Role,
    before: &mut Before,
    stop: &CancellationToken,
) -> Result<(), ReadError> {
    let plans = Plans {
        store: store.clone(),
        view: view.name(),
    };
    let Some(begun) = stop.run_until_cancelled(begin(nats, &plans, view, role)).await else {
        return Ok(());
    };
    let (plan, place) = begun?;
    let consumer = view.consumer_of(role);
    let is_left = std::mem::take(&mut before.is_left);
    let served = match at_server(nats, &consumer.name).await {
        Err(ReadError::Topology(error)) if error.is_missing() => {
            tracing::warn!(
                view = view.name(),
                consumer = consumer.name,
                "somebody deleted the consumer; made anew"
            );
            provide(nats, &consumer).await?;
            at_server(nats, &consumer.name).await?
        }
        served => served?,
    };
    if is_left || served.is_lost(place.seq, before.pin.as_deref()) {
        set_back(nats, &consumer.name, place.seq).await?;
    }
    let session = Session::open(nats, EVENTS, &consumer.name, Some(READER_GROUP)).await?;
    let rows = match plan.stage {
        Stage::Building if role == Role::Other && place.seq == 0 => Rows::from_nothing,
        _ => Rows::new,
    };
    let mut reading = Reading {
        nats,
        view,
        role,
        rows: rows(view.name(), place.colour, store.clone()),
        plans,
        plan,
        place,
        session: session.pinned(before.pin.take()),
        came: VecDeque::new(),
        ahead: Ok(None),
        rested: Instant::now(),
        moved: Instant::now(),
        doubts: None,
    };
    let outcome = stop.run_until_cancelled(reading.run()).await;
    if outcome.is_none() {
        reading.leave(&consumer.name).await;
    }
    before.pin = reading.session.pin();
    outcome.unwrap_or(Ok(()))
}

/// The colour that this role is about, once there is one.
async fn begin(nats: &Nats, plans: &Plans, view: &dyn View, role: Role) -> Result<(Plan, Place), ReadError> {
    loop {
        let (plan, read, other) = plans.read().await?;
        match (role, read, other) {
            (Role::Read, Some(place), _) => return Ok((plan, place)),
            (Role::Read, None, _) => plans.open().await?,
            (Role::Other, _, Some(place)) => {
                summon(nats, &view.consumer_of(role)).await?;
                return Ok((plan, place));
            }
            (Role::Other, _, None) => {
                if !build::make_room(nats, plans, view, &plan).await? {
                    sleep(LOOK_EVERY).await;
                }
            }
        }
    }
}

/// A reading of one colour.
pub(super) struct Reading<'a> {
    pub nats: &'a Nats,
    pub view: &'a dyn View,
    pub role: Role,
    pub plans: Plans,
    /// As it was last seen.
    pub plan: Plan,
    pub place: Place,
    pub rows: Rows,
    pub session: Session,
    /// What came and is not folded yet.
    pub came: VecDeque<Message>,
    /// The next batch, if it was prepared already, or why it could not be.
    pub ahead: Result<Option<Prepared>, ReadError>,
    /// When the next batch may begin.
    rested: Instant,
    /// When the mark was last seen to move.
    moved: Instant,
    /// What a first comparison found.
    pub doubts: Option<build::Doubts>,
}

impl Reading<'_> {
    async fn run(&mut self) -> Result<(), ReadError> {
        loop {
            let upto = match self.role {
                Role::Read => u64::MAX,
                Role::Other => self.attend().await?,
            };
            if upto <= self.place.seq {
                sleep(MEET_EVERY).await;
                self.look_around().await?;
            } else if !matches!(self.ahead, Ok(None)) {
                self.step(upto).await?;
            } else if self.gather().await? {
                self.meet_the_mark().await?;
                self.step(upto).await?;
                self.rested = Instant::now() + REST;
            } else {
                self.look_around().await?;
            }
        }
    }

    /// Takes in what has come. When nothing has, it waits for the first; false if nothing came for long. As
    /// long as none of it is the view's own, or the last commit was just now, it waits a little for more.
    async fn gather(&mut self) -> Result<bool, ReadError> {
        self.ask().await?;
        if self.came.is_empty() {
            match timeout(LOOK_EVERY, self.session.next()).await {
                Ok(next) => self.take_in(next?),
                Err(_) => return Ok(false),
            }
            if self.came.is_empty() {
                // A request ended without a message; the next one is not sent here.
                return Ok(false);
            }
        }
        let (passed, mut until, mut seen) = (Instant::now() + PASSING, None, 0);
        loop {
            self.take_what_has_come()?;
            let mut new = self.came.range(seen..);
            if until.is_none() && new.any(|message| is_ours(self.view, &message.subject)) {
                until = Some(self.rested);
            }
            seen = self.came.len();
            if seen < BATCH
                && let Ok(next) = timeout_at(until.unwrap_or(passed), self.session.next()).await
            {
                self.take_in(next?);
                continue;
            }
            return Ok(true);
        }
    }

    /// A batch more than one, so that the next is on its way while this one is folded. One only, as long as the server has
    /// not said under which name it serves us: what is asked without it is not served afterwards, until it expires.
    pub(super) async fn ask(&mut self) -> Result<(), ReadError> {
        let enough = match self.session.pin() {
            Some(_) => BATCH + BATCH / 2,
            None => 1,
        };
        while self.session.outstanding() < enough {
            self.session.request(BATCH).await?;
        }
        Ok(())
    }

    /// At the most a batch, and without waiting for it.
    pub(super) fn take_what_has_come(&mut self) -> Result<(), ReadError> {
        // Without the runtime's budget, which would make it seem that nothing more has come.
        while self.came.len() < BATCH
            && let Some(next) = unconstrained(self.session.next()).now_or_never()
        {
            self.take_in(next?);
        }
        Ok(())
    }

    fn take_in(&mut self, next: Next) {
        if let Next::Message(message) = next {
            self.came.push_back(Message {
                message: *message,
                context: self.nats.jetstream().clone(),
            });
        }
    }

    /// The server goes on behind what it has delivered, to whomever that was: what comes first may lie elsewhere
    /// than behind the mark as it was last seen here.
    async fn meet_the_mark(&mut self) -> Result<(), ReadError> {
        let first = self.came.front().and_then(|message| message.info().ok());
        let Some(first) = first.map(|first| first.stream_sequence) else {
            return Ok(());
        };
        if first != self.place.seq + 1 {
            self.look_around().await?;
        }
        // A stream that was cut at its beginning begins later. But if it does not, somebody else was given that.
        if self.place.seq == 0 && first > 1 && first_event(self.nats).await? < first {
            return Err(ReadError::Left);
        }
        Ok(())
    }

    /// Whether this is still the colour to read, and where it stands. Who stands by follows the mark, as another
    /// process moves it.
    pub(super) async fn look_around(&mut self) -> Result<(), ReadError> {
        let (plan, place) = self.as_planned().await?;
        self.plan = plan;
        match place {
            Some(place) if place == self.place => self.look_after_others().await,
            // What was taken out to be prepared lies behind an older mark.
            Some(place) if place.is_ahead_of(&self.place) && matches!(self.ahead, Ok(None)) => {
                // The rows that are known here are those of an older mark.
                self.rows = Rows::new(self.view.name(), place.colour, self.plans.store.clone());
                self.place = place;
                self.moved = Instant::now();
                Ok(())
            }
            _ => Err(ReadError::Moved),
        }
    }

    /// The plan, and where the colour of this role stands, in the database.
    async fn as_planned(&self) -> Result<(Plan, Option<Place>), ReadError> {
        let (plan, read, other) = self.plans.read().await?;
        let place = match self.role {
            Role::Read => read,
            Role::Other => other,
        };
        Ok((plan, place))
    }

    /// Leaves the rest to the next reader, and at once. Best effort: they can find out by themselves, but it takes
    /// them a while.
    async fn leave(&mut self, consumer: &str) {
        // What still comes is dropped, for it is given back; but it may say that the server serves us.
        self.session.leave().await;
        let Some(pin) = self.session.pin() else { return };
        match timeout(LEAVING, self.give_back(consumer, &pin)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return,
            Ok(Err(error)) => tracing::debug!(view = self.view.name(), %error, "what came was not given back"),
            Err(_) => tracing::debug!(view = self.view.name(), "what came was not given back in time"),
        }
        self.session.hand_over(EVENTS, consumer).await;
    }

    /// What came and is not folded is for the next reader, whom the server would serve from behind it. Whether the
    /// server still takes us for the one whom it serves.
    async fn give_back(&self, consumer: &str, pin: &str) -> Result<bool, ReadError> {
        // Not what is known here: a commit may have been cut off, and be through all the same.
        let (_, place) = self.as_planned().await?;
        let served = at_server(self.nats, consumer).await?;
        if let Some(place) = place
            && served.is_lost(place.seq, Some(pin))
        {
            set_back(self.nats, consumer, place.seq).await?;
        }
        Ok(!served.is_with_another(Some(pin)))
    }

    /// Who stands by notices that whoever was served is gone.
    async fn look_after_others(&mut self) -> Result<(), ReadError> {
        if self.session.pin().is_some() || !self.came.is_empty() || self.moved.elapsed() < STILL {
            return Ok(());
        }
        self.moved = Instant::now();
        let consumer = self.view.consumer_of(self.role).name;
        if at_server(self.nats, &consumer).await?.delivered > self.place.seq {
            return Err(ReadError::Left);
        }
        Ok(())
    }
}
