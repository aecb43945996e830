//! A world with a history, every transaction of it written down, so that any of them can be lost.

use std::sync::Arc;
use std::time::Duration;

use maru_streams::heal::{Heal, Mark, Report};
use maru_streams::jobs::{Lane, Policy};
use maru_streams::store::Store;
use maru_streams::testing::loss::{Rows, changes, everything, set};
use maru_streams::testing::{World, until};
use maru_streams::topology::COMMANDS;
use maru_streams::write::commands::Commands;
use maru_streams::write::transact::{pending, transact};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use crate::toys::{self, Boxes, Command};

pub const BOXES: u128 = 4;

pub fn lane(world: &World) -> Lane {
    Lane {
        name: "cmd-reviews".into(),
        stream: COMMANDS,
        filters: vec!["cmd.reviews.>".into()],
        policy: Policy {
            concurrency: 10,
            timeout: Duration::from_secs(20),
            retries: 1,
            first_retry: Duration::from_millis(50),
            ..Policy::QUICK
        },
        handler: Arc::new(Commands::<Boxes>::new(
            world.nats.clone(),
            world.store.clone(),
            world.outbox(),
        )),
    }
}

/// What one transaction changed.
type Changes = std::collections::BTreeMap<(String, String), Option<serde_json::Value>>;

pub struct History {
    pub world: World,
    /// Which box each command was about.
    pub asked: Vec<(Uuid, Uuid)>,
    pub transactions: Vec<Changes>,
    pub whole: Rows,
}

/// The rows that follow from the streams; what healing itself keeps is not compared.
pub async fn rows(store: &Store) -> Rows {
    let mut rows = everything(store).await;
    rows.retain(|(table, _), _| !["migration", "heal_mark"].contains(&table.as_str()));
    rows
}

impl History {
    /// So many commands on a few boxes, some of them refused, each published, committed, carried out and
    /// settled.
    pub async fn new(commands: u64, seed: u64) -> Self {
        let world = World::new(&[]).await;
        let mut dice = StdRng::seed_from_u64(seed);
        let (mut asked, mut transactions, mut before) = (Vec::new(), Vec::new(), rows(&world.store).await);
        for nth in 0..u128::from(commands) {
            let (id, subject) = (
                Uuid::from_u128(1000 + nth),
                Uuid::from_u128(dice.random_range(0..BOXES)),
            );
            let amount = if dice.random_ratio(1, 8) {
                20_000
            } else {
                dice.random_range(1..60)
            };
            asked.push((id, subject));
            toys::put(&world.commands, id, subject, amount).await;
            let (envelope, command) = (toys::envelope(id, subject), Command::Put { amount });
            let committed = transact::<Boxes>(&world.store, &envelope, &command).await.unwrap();
            before = note(&world.store, &mut transactions, before).await;
            let carried = world.outbox().publish(&committed.pending).await.unwrap();
            world.outbox().clear(carried).await.unwrap();
            before = note(&world.store, &mut transactions, before).await;
        }
        settle(&world).await;
        Self {
            whole: before,
            world,
            asked,
            transactions,
        }
    }

    /// A database that lost some of its transactions.
    pub async fn without(&self, is_lost: impl Fn(usize) -> bool) -> Store {
        let store = Store::open("mem://", None).await.unwrap();
        let kept = self.transactions.iter().enumerate().filter(|(nth, _)| !is_lost(*nth));
        // Only what is there at the end has to be written.
        let mut rows = Changes::new();
        for (_, changes) in kept {
            rows.extend(changes.clone());
        }
        for (at, row) in &rows {
            set(&store, at, row.as_ref()).await;
        }
        store
    }

    pub fn heal(&self, store: &Store) -> Heal {
        Heal::new(self.world.nats.clone(), store.clone(), Vec::new()).deciding::<Boxes>()
    }

    pub async fn mend(&self, store: &Store) -> Report {
        self.heal(store).mend(Mark::default(), &|_| {}).await.unwrap()
    }

    /// What the sweeper does: carries out what a lost clearing left in the outbox.
    pub async fn sweep(&self, store: &Store) {
        let outbox = maru_streams::write::outbox::Outbox::new(store.clone(), self.world.events.clone());
        for subject in 0..BOXES {
            let left = pending(store, "reviews", Uuid::from_u128(subject)).await.unwrap();
            let carried = outbox.publish(&left).await.unwrap();
            outbox.clear(carried).await.unwrap();
        }
    }
}

async fn note(store: &Store, transactions: &mut Vec<Changes>, before: Rows) -> Rows {
    let after = rows(store).await;
    let changed = changes(&before, &after);
    if !changed.is_empty() {
        transactions.push(changed);
    }
    after
}

/// The lane goes through everything that is in COMMANDS; what was handled before is settled.
pub async fn settle(world: &World) {
    settle_by(world, lane(world)).await;
}

/// The same by another lane of that name.
pub async fn settle_by(world: &World, lane: Lane) {
    world.apply(&lane.consumers()).await;
    let running = lane.start(&world.engine);
    let stream = world.nats.jetstream().get_stream(COMMANDS).await.unwrap();
    until("everything is settled", async || {
        let info = stream
            .get_consumer::<async_nats::jetstream::consumer::pull::Config>("cmd-reviews")
            .await
            .unwrap();
        let info = info.cached_info();
        info.num_pending == 0 && info.num_ack_pending == 0
    })
    .await;
    running.stop(Duration::from_secs(5)).await;
}
