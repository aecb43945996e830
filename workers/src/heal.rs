//! Healing this house: every context decides again, every view is looked at.

use futures_util::FutureExt;
use maru_streams::desk::{Answer, DeskError, Progress};
use maru_streams::heal::{Heal, Mark};
use maru_streams::nats::Nats;
use maru_streams::store::Store;
use serde_json::{Value, json};

use crate::contexts::books::Books;
use crate::contexts::members::Members;
use crate::contexts::payments::Payments;
use crate::contexts::purchases::Purchases;
use crate::contexts::reviews::Reviews;
use crate::views;

/// Heals one database with everything of this house in it.
#[must_use]
pub fn heal(nats: &Nats, store: &Store) -> Heal {
    Heal::new(nats.clone(), store.clone(), views::all())
        .deciding::<Members>()
        .deciding::<Books>()
        .deciding::<Payments>()
        .deciding::<Purchases>()
        .deciding::<Reviews>()
}

/// `heal.look`: what is missing, while the house is at work. `{"fromStart": true}` looks at everything.
pub(crate) fn look(nats: Nats, store: Store) -> impl Fn(Value, Progress) -> Answer + Send + Sync + 'static {
    move |question, progress| {
        let (nats, store) = (nats.clone(), store.clone());
        async move {
            let since = if question["fromStart"] == json!(true) {
                Mark::default()
            } else {
                Mark::of(&store).await.map_err(|error| DeskError::failed(&error))?
            };
            let report = heal(&nats, &store).look(since, &|word| progress.say(json!(word))).await;
            report
                .map(|report| json!(report))
                .map_err(|error| DeskError::failed(&error))
        }
        .boxed()
    }
}
