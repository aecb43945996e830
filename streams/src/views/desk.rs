//! What operators ask about views: how they stand, and what is to become of their other colour.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::pull;
use futures_util::FutureExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::plan::{PlanError, Plans, Stage};
use super::reader::keep;
use super::status;
use super::view::{Role, View};
use crate::desk::{Answer, Desk, DeskError, Progress};
use crate::nats::Nats;
use crate::store::Store;
use crate::tail;

/// How often the plan is looked at while somebody waits for it.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After so long without any change it is asked whether there is anybody who builds.
const QUIET: Duration = Duration::from_secs(3);
/// How long a swap may wait for the other colour to be as far as the one that is read.
const MEETING: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Views {
    nats: Nats,
    store: Store,
    views: Vec<Arc<dyn View>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    view: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    view: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rebuild {
    view: String,
    #[serde(default)]
    swap: bool,
}

/// Answers the questions about these views:
///
/// - `views.status` `{ view? }`: how all of them stand, or one;
/// - `views.rebuild` `{ view, swap? }`: builds its other colour, and lets people read it if it is found
///   equal and `swap` is true; answers at once;
/// - `views.wait` `{ view }`: waits, with progress, until nothing is being built or cleared;
/// - `views.swap` `{ view }`: lets people read the other colour;
/// - `views.drop` `{ view }`: takes the other colour away; answers at once.
///
/// All but the first answer how the view stands then.
#[must_use]
pub fn answering(desk: Desk, nats: &Nats, store: &Store, views: &[Arc<dyn View>]) -> Desk {
    let views = Views {
        nats: nats.clone(),
        store: store.clone(),
        views: views.to_vec(),
    };
    let take = |answer: fn(Views, Value, Progress) -> Answer| {
        let views = views.clone();
        move |question: Value, progress: Progress| answer(views.clone(), question, progress)
    };
    desk.answers(
        "views.status",
        take(|views, asked, _| async move { views.all(read(asked)?).await }.boxed()),
    )
    .answers(
        "views.rebuild",
        take(|views, asked, _| async move { views.rebuild(read(asked)?).await }.boxed()),
    )
    .answers(
        "views.wait",
        take(|views, asked, progress| async move { views.wait(read(asked)?, progress).await }.boxed()),
    )
    .answers(
        "views.swap",
        take(|views, asked, _| async move { views.swap(read(asked)?).await }.boxed()),
    )
    .answers(
        "views.drop",
        take(|views, asked, _| async move { views.drop(read(asked)?).await }.boxed()),
    )
}

fn read<T: DeserializeOwned>(question: Value) -> Result<T, DeskError> {
    serde_json::from_value(question).map_err(|error| DeskError::Question(format!("{error}; name a view")))
}

impl Views {
    fn one(&self, name: &str) -> Result<(Arc<dyn View>, Plans), DeskError> {
        let found = self.views.iter().find(|view| view.name() == name);
        let view = found.ok_or_else(|| {
            let names: Vec<_> = self.views.iter().map(|view| view.name()).collect();
            DeskError::NotThere(format!("there is no view {name}; there are {}", names.join(", ")))
        })?;
        let plans = Plans {
            store: self.store.clone(),
            view: view.name(),
        };
        Ok((Arc::clone(view), plans))
    }

    async fn newest(&self) -> Result<u64, DeskError> {
        tail::last_sequence(&self.nats)
            .await
            .map_err(|error| DeskError::failed(&error))
    }

    async fn all(&self, asked: Which) -> Result<Value, DeskError> {
        if let Some(name) = &asked.view {
            self.one(name)?;
        }
        let newest = self.newest().await?;
        let mut all = Vec::new();
        for view in &self.views {
            if asked.view.as_ref().is_none_or(|name| name == view.name()) {
                let stands = status::of(&self.store, &**view, newest).await;
                all.push(stands.map_err(|error| DeskError::failed(&error))?);
            }
        }
        Ok(json!({ "newest": newest, "views": all }))
    }

    async fn stands(&self, view: &dyn View) -> Result<Value, DeskError> {
        let stands = status::of(&self.store, view, self.newest().await?).await;
        stands.map_err(|error| DeskError::failed(&error))
    }

    async fn rebuild(&self, asked: Rebuild) -> Result<Value, DeskError> {
        let (view, plans) = self.one(&asked.view)?;
        plans
            .rebuild(asked.swap)
            .await
            .map_err(|error| not_done(view.name(), &error))?;
        self.stands(&*view).await
    }

    async fn drop(&self, asked: One) -> Result<Value, DeskError> {
        let (view, plans) = self.one(&asked.view)?;
        plans
            .drop_other()
            .await
            .map_err(|error| not_done(view.name(), &error))?;
        self.stands(&*view).await
    }

    async fn swap(&self, asked: One) -> Result<Value, DeskError> {
        let (view, plans) = self.one(&asked.view)?;
        let begun = Instant::now();
        let (plan, ..) = plans.read().await.map_err(|error| DeskError::failed(&error))?;
        loop {
            match plans.swap(plan.reads.other()).await {
                Ok(()) => return self.stands(&*view).await,
                Err(PlanError::Refused(why)) if why == "behind" && begun.elapsed() < MEETING => {
                    sleep(Duration::from_millis(5)).await;
                }
                Err(error) => return Err(not_done(view.name(), &error)),
            }
        }
    }

    /// Waits until there is nothing to wait for. If nobody else takes the work up, because no worker of
    /// this view runs anywhere, it is done here.
    async fn wait(&self, asked: One, progress: Progress) -> Result<Value, DeskError> {
        let (view, plans) = self.one(&asked.view)?;
        let stop = CancellationToken::new();
        let _ends = stop.clone().drop_guard();
        let (mut last, mut since, mut is_ours) = (None, Instant::now(), false);
        let mut first: Option<(Instant, u64)> = None;
        loop {
            let (plan, read, other) = plans.read().await.map_err(|error| DeskError::failed(&error))?;
            if matches!(plan.stage, Stage::Alone) || (plan.stage == Stage::Ready && !plan.swap) {
                return self.stands(&*view).await;
            }
            let mark = other.map_or(0, |place| place.seq);
            if last != Some((plan.stage, mark)) {
                last = Some((plan.stage, mark));
                since = Instant::now();
            }
            let (began, from) = *first.get_or_insert((Instant::now(), mark));
            let seconds = began.elapsed().as_secs_f64();
            progress.say(json!({
                "view": view.name(),
                "stage": plan.stage,
                "mark": mark,
                "goal": read.map_or(0, |place| place.seq),
                "perSecond": (mark.saturating_sub(from) as f64 / seconds.max(0.001)).round(),
            }));
            if !is_ours && since.elapsed() > QUIET && !self.is_read(&*view).await {
                is_ours = true;
                let (nats, store, view) = (self.nats.clone(), self.store.clone(), Arc::clone(&view));
                tokio::spawn(keep(nats, store, view, Role::Other, stop.clone()));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Whether somebody asks for messages through the consumer of the other colour.
    async fn is_read(&self, view: &dyn View) -> bool {
        let consumer = view.consumer_of(Role::Other);
        let found = self
            .nats
            .jetstream()
            .get_consumer_from_stream::<pull::Config, _, _>(&consumer.name, consumer.stream)
            .await;
        found.is_ok_and(|found| found.cached_info().num_waiting > 0)
    }
}

fn not_done(view: &str, error: &PlanError) -> DeskError {
    let PlanError::Refused(why) = error else {
        return DeskError::failed(error);
    };
    DeskError::Failed(match why.as_str() {
        "alone" => format!("there is no other version of {view}; build one with `maru views rebuild {view}`"),
        "behind" => format!(
            "the other version of {view} is behind the one that people read; look at `maru views status {view}` and ask again"
        ),
        stage => format!("the other version of {view} is not ready: it is {stage}; look at `maru views status {view}`"),
    })
}
