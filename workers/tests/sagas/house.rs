//! A house in a test: every lane at work, possibly made to suffer, and people who command it.

use std::sync::Arc;
use std::time::Duration;

use maru_schemas::books::{self, Book, Books, WorkStatus};
use maru_schemas::envelope::{Actor, Envelope};
use maru_schemas::ids::{self, AccountId, BookId, MemberId, PurchaseId};
use maru_schemas::members::{self, Members, Role};
use maru_schemas::message::{Contract, Message};
use maru_schemas::outcome::Outcome;
use maru_schemas::payments::TestCard;
use maru_schemas::purchases::{self, Purchase, Purchases};
use maru_schemas::views::VIEWS;
use maru_streams::jobs::Lane;
use maru_streams::publish::Outgoing;
use maru_streams::store::{Key, Store};
use maru_streams::subject::{Subject, kind_of};
use maru_streams::testing::{World, until};
use maru_streams::topology::DEAD;
use maru_streams::write::inbox::handled;
use maru_workers::house::{House, Parts, Working, names};
use maru_workers::ports::ai::Ai;
use maru_workers::ports::sandbox::{Account, Sandbox};
use uuid::Uuid;

use crate::writer::Counting;

pub const MINA: MemberId = MemberId(Uuid::from_u128(0xa11ce));
pub const JUNO: MemberId = MemberId(Uuid::from_u128(0xb0b));

pub struct Village {
    pub world: World,
    pub ai: Arc<Counting>,
    pub bank: Sandbox,
    working: Vec<Working>,
}

fn build(world: &World, ai: &Arc<Counting>, bank: &Sandbox) -> House {
    House::new(parts(world, ai, bank))
}

fn parts(world: &World, ai: &Arc<Counting>, bank: &Sandbox) -> Parts {
    Parts {
        nats: world.nats.clone(),
        store: world.store.clone(),
        clock: world.clock.clock(),
        ai: Arc::clone(ai) as Arc<dyn Ai>,
        bank: Arc::new(bank.clone()),
        bank_timeout: Duration::from_millis(300),
    }
}

impl Village {
    /// Every lane at work, each put through `wrap` first.
    pub async fn new(wrap: impl FnMut(Lane) -> Lane) -> Self {
        Self::without(&[], wrap).await
    }

    /// The same, while some workers are away.
    pub async fn without(away: &[&str], wrap: impl FnMut(Lane) -> Lane) -> Self {
        Self::on(World::new(&[]).await, away, wrap).await
    }

    /// The same in this world.
    pub async fn on(world: World, away: &[&str], wrap: impl FnMut(Lane) -> Lane) -> Self {
        let ai = Arc::new(Counting::default());
        let bank = Sandbox::new(world.store.clone());
        let house = build(&world, &ai, &bank);
        world.apply(&house.consumers()).await;
        let here = names()
            .into_iter()
            .filter(|name| !away.contains(name))
            .map(str::to_owned);
        let working = house.wrap(wrap).start(&here.collect::<Vec<_>>());
        let village = Self {
            world,
            ai,
            bank,
            working: vec![working],
        };
        village.join(MINA, "mina", Role::Author).await;
        village.join(JUNO, "juno", Role::Reader).await;
        village
    }

    /// Somebody who was away comes back.
    pub fn comes_back(&mut self, name: &str) {
        self.working.push(self.begins(name, |lane| lane));
    }

    /// Somebody works until the caller stops them, put through `wrap` first.
    pub fn begins(&self, name: &str, wrap: impl FnMut(Lane) -> Lane) -> Working {
        let house = build(&self.world, &self.ai, &self.bank);
        house.wrap(wrap).start(&[name.to_owned()])
    }

    async fn join(&self, member: MemberId, name: &str, role: Role) {
        let command = members::Command::RegisterAccount {
            member,
            username: name.into(),
            nickname: name.into(),
            role,
            sealed_hash: "sealed".into(),
        };
        self.ask::<Members>(Actor::Anonymous, AccountId::of_username(name), name, &command)
            .await;
    }

    /// Sends a command, as the door does, and waits for its outcome.
    pub async fn ask<C: Contract>(
        &self,
        actor: Actor,
        subject: impl Into<Uuid>,
        name: &str,
        command: &C::Command,
    ) -> Outcome {
        let body = serde_json::to_vec(command).unwrap();
        let id = self.send::<C>(actor, subject.into(), name, command.kind(), body).await;
        let mut outcome = None;
        until(name, async || {
            outcome = handled(&self.world.store, C::CONTEXT, id).await.unwrap();
            outcome.is_some()
        })
        .await;
        outcome.unwrap().outcome
    }

    /// Sends a command in these words, whoever may have written them.
    pub async fn send<C: Contract>(
        &self,
        actor: Actor,
        subject: Uuid,
        name: &str,
        kind: &'static str,
        body: Vec<u8>,
    ) -> Uuid {
        let id = ids::named("test", &format!("{subject} {name}"));
        let envelope = Envelope {
            id,
            kind: kind_of(C::CONTEXT, kind),
            source: "test".into(),
            time: self.world.clock.clock().now(),
            subject,
            actor,
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
            kind,
            id,
        };
        let message = Outgoing::new(at, &envelope, body.into(), true);
        self.world.commands.publish(message).await.unwrap();
        id
    }

    pub async fn book(&self, id: BookId) -> Book {
        self.world
            .store
            .state(books::CONTEXT, id)
            .await
            .unwrap()
            .map(|(_, book)| book)
            .unwrap_or_default()
    }

    pub async fn purchase(&self, id: PurchaseId) -> Purchase {
        self.world
            .store
            .state(purchases::CONTEXT, id)
            .await
            .unwrap()
            .map(|(_, it)| it)
            .unwrap_or_default()
    }

    /// A draft with a synopsis, for 10 won.
    pub async fn draft(&self, n: u128) -> BookId {
        let id = BookId(Uuid::from_u128(n));
        let create = books::Command::CreateBook {
            title: "The whale".into(),
            synopsis: "A whale looks for a star.".into(),
            contents: String::new(),
            price: 10,
            publish: false,
        };
        self.ask::<Books>(Actor::Member(MINA), id, "create", &create).await;
        id
    }

    /// A published book with a story and an image, for 10 won.
    pub async fn published(&self, n: u128) -> BookId {
        let (id, mina) = (self.draft(n).await, Actor::Member(MINA));
        let story = books::Command::RequestStory {
            synopsis: None,
            image: true,
        };
        self.ask::<Books>(mina, id, "story", &story).await;
        until("story and image are there", async || {
            let book = self.book(id).await;
            book.story.status == WorkStatus::Ready && book.painting.status == WorkStatus::Ready
        })
        .await;
        self.ask::<Books>(mina, id, "publish", &books::Command::PublishBook {})
            .await;
        id
    }

    /// Juno orders a book.
    pub async fn buy(&self, book: BookId, name: &str, card: TestCard) -> (PurchaseId, Outcome) {
        let id = PurchaseId::of(JUNO, book);
        let edition = self.book(book).await.edition;
        let command = purchases::Command::RequestPurchase {
            member: JUNO,
            book,
            edition,
            price: 10,
            card,
        };
        (id, self.ask::<Purchases>(Actor::Member(JUNO), id, name, &command).await)
    }

    pub async fn becomes(&self, id: PurchaseId, status: purchases::Status) -> Purchase {
        until(&format!("the purchase is {status:?}"), async || {
            self.purchase(id).await.status == status
        })
        .await;
        self.purchase(id).await
    }

    /// What the bank says of a purchase's payment.
    pub async fn account(&self, purchase: &Purchase) -> Option<Account> {
        self.bank.account(purchase.payment?.0).await.unwrap()
    }

    pub async fn count(&self, table: &'static str) -> usize {
        let rows: Vec<(_, serde_json::Value)> = self.world.store.page(table, &[], &[], 1000).await.unwrap();
        rows.len()
    }

    pub async fn row<T: serde::de::DeserializeOwned>(&self, key: &Key) -> Option<T> {
        self.world.store.get(key).await.unwrap()
    }

    /// Everybody stops; what they did stays.
    pub async fn rest(&mut self) {
        for working in std::mem::take(&mut self.working) {
            working.stop().await;
        }
    }

    /// Nothing was given up, and everything stops in peace.
    pub async fn ends_well(mut self) {
        assert_eq!(self.world.count(DEAD).await, 0, "nothing is given up");
        self.rest().await;
    }

    /// The views alone, at work on another database.
    pub fn views_on(&self, store: &Store) -> Working {
        let parts = Parts {
            store: store.clone(),
            ..parts(&self.world, &self.ai, &self.bank)
        };
        House::new(parts).start(&VIEWS.map(str::to_owned))
    }
}
