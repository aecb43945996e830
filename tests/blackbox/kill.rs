//! Ended at the worst of times, again and again: what was accepted has its effect, exactly once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::house::{House, eventually, within};
use crate::person::{Person, Reply};
use crate::provider::Answer::{Good, Held};
use crate::provider::Desks::{Chat, Images};
use crate::provider::{FakeAi, STORY};

/// A crash leaves messages unsettled that come again after half a minute, more than once if it is unlucky.
const LONG: Duration = Duration::from_secs(100);
const EDITS: u64 = 3;

/// What the crowd was promised.
#[derive(Default)]
struct Promised {
    /// Books with the version that the last answer told.
    books: Vec<(String, u64, u64)>,
    purchases: Vec<(Person, String)>,
}

/// How the crowd fares.
#[derive(Default)]
struct Tally {
    /// Last words.
    acks: AtomicU64,
    /// Requests that broke off or were put off, and were sent again.
    again: AtomicU64,
}

/// Sends until there is a last word: no answer, a 503 and a 202 are none. Always under the same key.
async fn insists(who: &Person, method: Method, path: &str, key: &str, body: Value, tally: &Tally) -> Reply {
    let until = Instant::now() + LONG;
    loop {
        let headers = [("idempotency-key", key)];
        let sent = who.try_send(method.clone(), path, &headers, Some(body.clone())).await;
        match sent {
            Ok(reply) if (200..300).contains(&reply.status) && reply.status != 202 => {
                tally.acks.fetch_add(1, Ordering::Relaxed);
                return reply;
            }
            Ok(reply) if reply.status == 202 || reply.status == 503 => {}
            Ok(reply) => panic!("{method} {path} {key}: {} {}", reply.status, reply.text),
            Err(_) => {}
        }
        tally.again.fetch_add(1, Ordering::Relaxed);
        assert!(Instant::now() < until, "{method} {path} {key} never had a last word");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Writes books, edits each, and counts the versions that it is told.
async fn writes(author: Person, name: String, tally: Arc<Tally>) -> Promised {
    let mut promised = Promised::default();
    for nth in 0..4 {
        let new = json!({ "title": format!("{name} {nth}"), "contents": "The story.", "price": 100 });
        let made = insists(
            &author,
            Method::POST,
            "/v1/books",
            &format!("{name}-{nth}"),
            new,
            &tally,
        )
        .await;
        assert_eq!(made.json["version"], 2, "created and published: {}", made.text);
        let path = format!("/v1/books/{}", made.id());
        for edit in 1..=EDITS {
            let change = json!({ "price": 100 + edit });
            let key = format!("{name}-{nth}-{edit}");
            let edited = insists(&author, Method::PATCH, &path, &key, change, &tally).await;
            assert_eq!(edited.json["version"], 2 + edit, "once each: {}", edited.text);
        }
        promised.books.push((made.id(), 2 + EDITS, 100 + EDITS));
    }
    promised
}

async fn buys(buyer: Person, shelf: Arc<Vec<String>>, tally: Arc<Tally>) -> Promised {
    let mut promised = Promised::default();
    for book in shelf.iter() {
        let order = json!({ "bookId": book });
        let bought = insists(&buyer, Method::POST, "/v1/purchases", book, order, &tally).await;
        promised.purchases.push((buyer.clone(), bought.id()));
    }
    promised
}

pub struct Siege {
    pub house: House,
    pub author: Person,
    shelf: Arc<Vec<String>>,
    tally: Arc<Tally>,
    crowd: JoinSet<Promised>,
    waves: u64,
    buyers: Vec<Person>,
    /// Books that the author made beside, with no price and no contents.
    beside: u64,
}

impl Siege {
    async fn new(waves: usize) -> Self {
        Self::on(House::new().await, waves).await
    }

    pub async fn on(house: House, waves: usize) -> Self {
        let author = house.author("author").await;
        let mut shelf = Vec::new();
        for nth in 0..5 {
            shelf.push(author.publishes(&format!("Shelf {nth}"), 100).await);
        }
        let mut buyers = Vec::new();
        for nth in 0..waves * 3 {
            buyers.push(house.reader(&format!("buyer-{nth}")).await);
        }
        let (shelf, tally, crowd) = (Arc::new(shelf), Arc::default(), JoinSet::new());
        Self {
            house,
            author,
            shelf,
            tally,
            crowd,
            waves: 0,
            buyers,
            beside: 0,
        }
    }

    /// The author has made so many drafts beside, which are to be counted too.
    pub fn also(&mut self, drafts: u64) {
        self.beside += drafts;
    }

    /// Sends a new wave of people, and waits until it is in the midst of things.
    pub async fn wave(&mut self) {
        self.waves += 1;
        let before = self.tally.acks.load(Ordering::Relaxed);
        for nth in 0..3 {
            let name = format!("wave-{}-{nth}", self.waves);
            self.crowd
                .spawn(writes(self.author.clone(), name, Arc::clone(&self.tally)));
            let buyer = self.buyers.pop().expect("enough buyers");
            self.crowd
                .spawn(buys(buyer, Arc::clone(&self.shelf), Arc::clone(&self.tally)));
        }
        // Some waves are hit early, some late.
        let wanted = before + 2 + self.waves * 3;
        within(LONG, "the wave gets going", async || {
            (self.tally.acks.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
        let some = std::process::id()
            .wrapping_mul(31)
            .wrapping_add(u32::from(self.house.api))
            % 40;
        tokio::time::sleep(Duration::from_millis(u64::from(some))).await;
    }

    /// Everybody ends; what they were promised is there exactly once, and nothing else is.
    pub async fn counts(mut self) -> House {
        let mut promised = Promised::default();
        while let Some(ended) = self.crowd.join_next().await {
            let ended = ended.expect("one of the crowd");
            promised.books.extend(ended.books);
            promised.purchases.extend(ended.purchases);
        }
        let again = self.tally.again.load(Ordering::Relaxed);
        assert!(again > 0, "the kills hit nobody: {again} requests were sent again");
        assert_eq!(promised.books.len() as u64, self.waves * 3 * 4);
        assert_eq!(promised.purchases.len() as u64, self.waves * 3 * 5);
        self.house.settles().await;

        for (book, version, price) in &promised.books {
            let seen = self.author.get(&format!("/v1/books/{book}")).await.is(200).json;
            assert_eq!(
                (&seen["version"], &seen["price"]),
                (&json!(version), &json!(price)),
                "{seen}"
            );
        }
        let mut own = BTreeSet::new();
        let mut next = Some("/v1/me/books?limit=100".to_owned());
        while let Some(path) = next {
            let page = self.author.get(&path).await.is(200);
            let ids = page
                .items()
                .into_iter()
                .map(|row| row["bookId"].as_str().unwrap_or_default().to_owned());
            for id in ids {
                assert!(own.insert(id), "a book is listed twice");
            }
            next = page.json["nextCursor"]
                .as_str()
                .map(|cursor| format!("/v1/me/books?limit=100&cursor={cursor}"));
        }
        assert_eq!(
            own.len(),
            promised.books.len() + self.shelf.len() + usize::try_from(self.beside).expect("a few"),
            "books that nobody was promised"
        );

        for (buyer, purchase) in &promised.purchases {
            let seen = buyer.get(&format!("/v1/purchases/{purchase}")).await.is(200).json;
            assert_eq!(
                (&seen["state"], &seen["amount"]),
                (&json!("COMPLETED"), &json!(100)),
                "{seen}"
            );
            let payments = buyer.get("/v1/payments?limit=100").await.is(200).items();
            let mine: Vec<&Value> = payments
                .iter()
                .filter(|row| row["reference"] == purchase.as_str())
                .collect();
            assert_eq!(mine.len(), 1, "one payment each: {payments:?}");
            assert_eq!(
                (&mine[0]["status"], &mine[0]["amount"]),
                (&json!("APPROVED"), &json!(100))
            );
            assert_eq!(payments.len(), self.shelf.len());
            assert_eq!(
                buyer.get("/v1/me/library?limit=100").await.is(200).items().len(),
                self.shelf.len()
            );
        }

        // Every event is in the stream once: accounts 1, books their versions, purchases and payments 2 each.
        let accounts = 1 + self.waves * 3 + self.buyers.len() as u64;
        let books: u64 = promised.books.iter().map(|(_, version, _)| version).sum();
        let wanted = accounts + 2 * self.shelf.len() as u64 + books + self.beside + 4 * promised.purchases.len() as u64;
        let (canaries, streams) = (self.house.canaries().await, self.house.streams().await);
        assert_eq!(
            streams.messages["EVENTS"] - canaries,
            wanted,
            "events: {:?}, {canaries} canaries",
            streams.messages
        );
        assert_eq!(streams.messages["DEAD"], 0);
        self.house
    }
}

#[tokio::test]
async fn five_kills_of_maru_under_load_lose_nothing_and_do_nothing_twice() {
    let mut siege = Siege::new(5).await;
    for _ in 0..5 {
        siege.wave().await;
        siege.house.kill().await;
        siege.house.start().await;
    }
    let house = siege.counts().await;
    house.ends_well().await;
    assert!(house.stop().await.success());
}

#[tokio::test]
async fn three_kills_of_nats_server_under_load_lose_nothing_and_do_nothing_twice() {
    let mut siege = Siege::new(3).await;
    // What a server that is away makes people say.
    for words in [
        "the connection to nats-server is lost",
        "nats-server ended; starting it again",
        "a command was not taken in",
        "waiting until the house is in order",
        "cannot pull",
        "the view waits",
        "published events stay in the outbox",
        "the outbox could not be swept",
        "a part is away",
    ] {
        siege.house.allow(words);
    }
    for _ in 0..3 {
        siege.wave().await;
        let before = siege.house.nats_pid().expect("a nats-server");
        siege.house.kill_nats();
        let house = &siege.house;
        eventually("another nats-server", async || {
            house.nats_pid().filter(|pid| *pid != before)
        })
        .await;
        eventually("ready again", async || {
            (house.get("/readyz").await.status == 200).then_some(())
        })
        .await;
    }
    let house = siege.counts().await;
    house.ends_well().await;
}

#[tokio::test]
async fn a_story_that_is_being_written_at_a_stop_is_finished_first() {
    let ai = FakeAi::new().await;
    let url = ai.url();
    let house = House::with(&[("OPENAI_BASE_URL", &url)]).await;
    let mina = house.author("mina").await;
    ai.always(Chat, Held);
    let draft = json!({ "title": "Interrupted", "synopsis": "A star." });
    let book = mina.post("/v1/books", draft).await.is(201).id();
    mina.post(&format!("/v1/books/{book}/ai-draft"), json!({}))
        .await
        .is(202);
    eventually("the provider is asked", async || {
        (ai.asked(Chat).len() == 1).then_some(())
    })
    .await;
    let stopping = async {
        let door_is_shut = async || {
            mina.try_send(Method::GET, "/livez", &[], None)
                .await
                .is_err()
                .then_some(())
        };
        eventually("the door is shut", door_is_shut).await;
        ai.release();
    };
    let (status, ()) = tokio::join!(house.stop(), stopping);
    assert!(status.success(), "{status}");
    house.start().await;
    let seen = mina.sees_book(&book, "storyStatus", "READY").await;
    assert_eq!((&seen["contents"], &seen["storyAttempts"]), (&json!(STORY), &json!(1)));
    mina.sees_book(&book, "imageStatus", "READY").await;
    assert_eq!(
        (ai.asked(Chat).len(), ai.asked(Images).len()),
        (1, 1),
        "asked once, and not again"
    );
    house.ends_well().await;
}

#[tokio::test]
async fn a_story_that_is_being_written_at_a_crash_comes_again() {
    let ai = FakeAi::new().await;
    let url = ai.url();
    let house = House::with(&[("OPENAI_BASE_URL", &url)]).await;
    let mina = house.author("mina").await;
    ai.then(Chat, &[Held, Good]);
    let draft = json!({ "title": "Interrupted", "synopsis": "A star." });
    let book = mina.post("/v1/books", draft).await.is(201).id();
    mina.post(&format!("/v1/books/{book}/ai-draft"), json!({}))
        .await
        .is(202);
    mina.sees_book(&book, "storyStatus", "GENERATING").await;
    eventually("the provider is asked", async || {
        (ai.asked(Chat).len() == 1).then_some(())
    })
    .await;
    house.kill().await;
    house.start().await;
    let path = format!("/v1/books/{book}");
    let ready = within(LONG, "the story is there", async || {
        let seen = mina.get(&path).await.is(200).json;
        (seen["storyStatus"] == "READY" && seen["imageStatus"] == "READY").then_some(seen)
    });
    assert_eq!(ready.await["contents"], STORY);
    assert_eq!((ai.asked(Chat).len(), ai.asked(Images).len()), (2, 1));
    house.ends_well().await;
}

#[tokio::test]
async fn a_story_that_takes_longer_than_a_stop_may_is_left_for_the_next_start() {
    let ai = FakeAi::new().await;
    let url = ai.url();
    let house = House::with(&[("OPENAI_BASE_URL", &url)]).await;
    house.allow("stopped before the work was done; it will come again");
    let mina = house.author("mina").await;
    ai.then(Chat, &[Held, Good]);
    let draft = json!({ "title": "Interrupted", "synopsis": "A star." });
    let book = mina.post("/v1/books", draft).await.is(201).id();
    mina.post(&format!("/v1/books/{book}/ai-draft"), json!({ "image": false }))
        .await
        .is(202);
    eventually("the provider is asked", async || {
        (ai.asked(Chat).len() == 1).then_some(())
    })
    .await;
    let status = house.stop().await;
    assert!(status.success(), "{status}");
    house.start().await;
    let path = format!("/v1/books/{book}");
    let ready = within(LONG, "the story is there", async || {
        let seen = mina.get(&path).await.is(200).json;
        (seen["storyStatus"] == "READY").then_some(seen)
    });
    assert_eq!(ready.await["contents"], STORY);
    assert_eq!(ai.asked(Chat).len(), 2);
    house.ends_well().await;
}
