//! Four copies of everything that works, on one server and one database, killed one after the other while
//! commands come in. Each copy has a runtime of its own; shutting that down ends its tasks wherever they
//! are, and nothing of it says goodbye, as SIGKILL would have it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use maru_schemas::CONTEXTS;
use maru_schemas::books::{self, Books};
use maru_schemas::envelope::{Actor, Envelope};
use maru_schemas::ids::{self, AccountId, BookId, MemberId, PurchaseId};
use maru_schemas::members::{self, Members, Role};
use maru_schemas::message::{Contract, Message};
use maru_schemas::payments::TestCard;
use maru_schemas::purchases::{self, Purchase, Purchases, Status};
use maru_streams::nats::Nats;
use maru_streams::oracle::{self, Facts, Promise};
use maru_streams::publish::Outgoing;
use maru_streams::subject::{Subject, kind_of};
use maru_streams::testing::{World, until};
use maru_streams::topology::EVENTS;
use maru_workers::house::{House, Parts, Working};
use maru_workers::ports::sandbox::{Movement, Sandbox};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::writer::Counting;

const COPIES: usize = 4;
/// How often one of them is killed, and after how many more events.
const KILLS: usize = 16;
const EVENTS_BETWEEN: u64 = 40;
const EDITS: u64 = 5;

struct Copy {
    runtime: Runtime,
    working: Working,
}

fn parts(world: &World, nats: Nats) -> Parts {
    Parts {
        nats,
        store: world.store.clone(),
        clock: world.clock.clock(),
        ai: Arc::new(Counting::default()),
        bank: Arc::new(Sandbox::new(world.store.clone())),
        bank_timeout: Duration::from_secs(3),
    }
}

impl Copy {
    async fn start(world: &World) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (url, parts) = (world.server.url().to_owned(), parts(world, world.nats.clone()));
        let working = runtime.spawn(async move {
            let nats = Nats::connect(&url, "copy").await.unwrap();
            House::new(Parts { nats, ..parts }).start(&[])
        });
        let working = working.await.unwrap();
        Self { runtime, working }
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }

    async fn stop(self) {
        let Self { runtime, working } = self;
        runtime.spawn(working.stop()).await.unwrap();
        runtime.shutdown_background();
    }
}

/// Publishes a command as the door does, and notes what that promises: it is stored.
async fn ask<C: Contract>(world: &World, member: MemberId, subject: Uuid, name: &str, command: &C::Command) -> Promise {
    let id = ids::named("copies", &format!("{subject} {name}"));
    let envelope = Envelope {
        id,
        kind: kind_of(C::CONTEXT, command.kind()),
        source: "test".into(),
        time: world.clock.clock().now(),
        subject,
        actor: Actor::Member(member),
        correlation: id,
        causation: None,
        version: None,
        owner: None,
        fingerprint: None,
        reply: None,
        traceparent: None,
    };
    let at = Subject::Command {
        context: C::CONTEXT,
        kind: command.kind(),
        id,
    };
    let body = serde_json::to_vec(command).unwrap();
    let message = Outgoing::new(at, &envelope, body.into(), true);
    world.commands.publish(message).await.unwrap();
    Promise {
        command: id,
        version: None,
        events: None,
    }
}

async fn joins(world: &World, member: MemberId, name: &str) -> Promise {
    let command = members::Command::RegisterAccount {
        member,
        username: name.to_owned(),
        nickname: name.to_owned(),
        role: Role::Author,
        sealed_hash: "sealed".into(),
    };
    ask::<Members>(world, member, AccountId::of_username(name).0, "join", &command).await
}

/// Writes, edits and buys one book after the other until told to end, waiting for nothing. What comes too
/// early is refused, which is an outcome too.
async fn lives(world: Arc<World>, nth: u128, ending: Arc<AtomicBool>) -> (Vec<Promise>, Vec<PurchaseId>) {
    let member = MemberId(Uuid::from_u128(0xa00 + nth));
    let mut promises = vec![joins(&world, member, &format!("member-{nth}")).await];
    let mut purchases = Vec::new();
    for step in 0.. {
        if ending.load(Ordering::SeqCst) {
            break;
        }
        let book = BookId(ids::derive(member.0, &format!("book {step}")));
        let create = books::Command::CreateBook {
            title: "The whale".into(),
            synopsis: String::new(),
            contents: "A whale looks for a star.".into(),
            price: 10,
            publish: true,
        };
        promises.push(ask::<Books>(&world, member, book.0, "create", &create).await);
        for edit in 1..=EDITS {
            let edited = books::Command::EditBook {
                title: None,
                synopsis: None,
                contents: None,
                price: Some(10 + u32::try_from(edit).unwrap()),
                expected: None,
            };
            promises.push(ask::<Books>(&world, member, book.0, &format!("edit {edit}"), &edited).await);
        }
        let purchase = PurchaseId::of(member, book);
        let order = purchases::Command::RequestPurchase {
            member,
            book,
            edition: 1,
            price: 10,
            card: TestCard::Approved,
        };
        promises.push(ask::<Purchases>(&world, member, purchase.0, "order", &order).await);
        purchases.push(purchase);
    }
    (promises, purchases)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_copies_of_each_worker_that_are_killed_again_and_again_lose_nothing_and_do_nothing_twice() {
    let world = World::new(&[]).await;
    world
        .apply(&House::new(parts(&world, world.nats.clone())).consumers())
        .await;
    let world = Arc::new(world);
    let mut copies = Vec::new();
    for _ in 0..COPIES {
        copies.push(Copy::start(&world).await);
    }
    let ending = Arc::new(AtomicBool::new(false));
    let people = (0..2).map(|nth| tokio::spawn(lives(Arc::clone(&world), nth, Arc::clone(&ending))));
    let people: Vec<_> = people.collect();
    for nth in 0..KILLS {
        let wanted = world.count(EVENTS).await + EVENTS_BETWEEN;
        until("the copies that are left work on", async || {
            world.count(EVENTS).await >= wanted
        })
        .await;
        copies.remove(0).kill();
        // Now and then there are three for a while.
        if nth % 4 != 0 || copies.len() < COPIES - 1 {
            while copies.len() < COPIES {
                copies.push(Copy::start(&world).await);
            }
        }
    }
    ending.store(true, Ordering::SeqCst);
    let (mut promises, mut bought) = (Vec::new(), Vec::new());
    for person in people {
        let (promised, purchases) = person.await.unwrap();
        promises.extend(promised);
        bought.extend(purchases);
    }
    for what in ["what was in flight comes again", "and what follows from it"] {
        until(what, async || oracle::left(&world.nats).await.unwrap().is_empty()).await;
    }
    until("every purchase is paid", async || {
        for id in &bought {
            let found: Option<(u64, Purchase)> = world.store.state(purchases::CONTEXT, *id).await.unwrap();
            if found.is_none_or(|(_, purchase)| purchase.status != Status::Completed) {
                return false;
            }
        }
        true
    })
    .await;
    let mut facts = Facts::default();
    until("the outbox is swept", async || {
        facts = Facts::read(&world.nats, &world.store, &CONTEXTS).await.unwrap();
        facts.outbox.is_empty()
    })
    .await;
    assert!(
        promises.len() > KILLS * 10,
        "only {} commands were sent",
        promises.len()
    );
    assert_eq!(oracle::judge(&facts, &promises), vec![]);
    let bank = Sandbox::new(world.store.clone());
    for id in &bought {
        let found: Option<(u64, Purchase)> = world.store.state(purchases::CONTEXT, *id).await.unwrap();
        let payment = found.and_then(|(_, purchase)| purchase.payment).unwrap();
        assert_eq!(bank.account(payment.0).await.unwrap().unwrap().log, [Movement::Charged]);
    }
    for copy in copies {
        copy.stop().await;
    }
}
