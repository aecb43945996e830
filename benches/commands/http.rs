//! Commands over HTTP, through a whole Maru: the door, the lane, the transaction, the events, every flow and view.
//! Each begins a book. What was answered with a 2xx is counted at the end as rows that people can read.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use maru_schemas::views::MY_BOOKS;
use maru_streams::desk;
use maru_streams::nats::Nats;
use maru_streams::server;
use maru_streams::testing::World;
use serde_json::{Value, json};

use crate::house::House;
use crate::mixed::{Mixed, mixed};
use crate::sheet::{PROFILE, Sheet, Speed, fly};
use crate::turns;

/// How many write books, so that no one is the only one.
const AUTHORS: usize = 8;
/// The most commands of a burst that nobody waits for.
const BURST: usize = 2000;
/// After so many everybody's tokens are renewed; they are good for five minutes.
const CHUNK: usize = 2000;
/// How long a starting Maru is asked before that counts as broken.
const STARTING: Duration = Duration::from_secs(60);
const PASSWORD: &str = "a long password";
const DONE: (&str, [(&str, &str); 2]) = ("maru_commands_total", [("context", "books"), ("outcome", "done")]);

/// What was found.
pub struct Commands {
    pub first_fresh: Duration,
    pub first_again: Duration,
    pub alone: f64,
    pub crowd: f64,
    /// Finished a second by a crowd, while they took turns with what they are held against: the best that there is.
    pub live: Speed,
    pub rebuild: Speed,
    pub mixed: Mixed,
}

/// Those who write, and how many books they have begun.
#[derive(Clone)]
pub struct Authors {
    http: reqwest::Client,
    api: String,
    tokens: Arc<[String]>,
    begun: Arc<AtomicUsize>,
}

fn how_many() -> usize {
    let asked = std::env::var("MARU_BENCH_COMMANDS")
        .ok()
        .map(|n| n.parse().expect("a number"));
    asked.unwrap_or(if PROFILE == "release" { 100_000 } else { 15_000 })
}

async fn post(http: &reqwest::Client, url: &str, body: &Value) -> (u16, Value) {
    let answer = http.post(url).json(body).send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

impl Authors {
    async fn log_in(house: &House, begun: &Arc<AtomicUsize>) -> Self {
        let mut tokens = Vec::new();
        for nth in 0..AUTHORS {
            let body = json!({ "username": format!("author{nth}"), "password": PASSWORD });
            let (status, answer) = post(&house.http, &format!("{}/v1/auth/login", house.api), &body).await;
            assert_eq!(status, 200, "{answer}");
            tokens.push(answer["accessToken"].as_str().expect("a token").to_owned());
        }
        Self {
            http: house.http.clone(),
            api: house.api.clone(),
            tokens: tokens.into(),
            begun: Arc::clone(begun),
        }
    }

    /// Begins a book. `prefer` says how to be answered, `status` what the answer must be to count.
    pub async fn begin_book(self, prefer: &'static str, wanted: u16) {
        let nth = self.begun.fetch_add(1, Ordering::Relaxed);
        let body =
            json!({ "title": "The moon in the well", "synopsis": "Once the moon fell into a well.", "price": 9000 });
        let request = self
            .http
            .post(format!("{}/v1/books", self.api))
            .header("prefer", prefer);
        let sent = request
            .bearer_auth(&self.tokens[nth % AUTHORS])
            .json(&body)
            .send()
            .await;
        let answer = sent.expect("an answer");
        let (status, text) = (answer.status().as_u16(), answer.text().await.expect("an answer"));
        assert_eq!(status, wanted, "{text}");
    }

    async fn get(&self, path: &str) -> Value {
        let request = self
            .http
            .get(format!("{}{path}", self.api))
            .bearer_auth(&self.tokens[0]);
        let answer = request.send().await.expect("an answer");
        let (status, text) = (answer.status().as_u16(), answer.text().await.expect("an answer"));
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("an answer in JSON")
    }

    /// The ids of some books of the first of them.
    pub async fn their_books(&self) -> Vec<String> {
        let page = self.get("/v1/me/books").await;
        let items = page["items"].as_array().expect("a page of books");
        let ids = items
            .iter()
            .map(|book| book["bookId"].as_str().expect("an id").to_owned());
        ids.collect()
    }

    /// The first of them reads a book of theirs.
    pub async fn read(self, book: &str) {
        self.get(&format!("/v1/books/{book}")).await;
    }

    async fn finish(&self, at_once: usize, most: usize) -> Speed {
        let authors = self.clone();
        fly(at_once, most, move || authors.clone().begin_book("wait=30", 201)).await
    }
}

/// How long from the start of the process until somebody's account was taken in, the first thing to be asked.
async fn first_account(house: &House) -> Duration {
    let url = format!("{}/v1/auth/signup", house.api);
    let account = |nth: usize| json!({ "username": format!("author{nth}"), "password": PASSWORD, "nickname": "Author", "role": "author" });
    until_accepted(house.http.post(url.clone()).json(&account(0))).await;
    let took = house.begun.elapsed();
    for nth in 1..AUTHORS {
        let (status, answer) = post(&house.http, &url, &account(nth)).await;
        assert_eq!(status, 201, "{answer}");
    }
    took
}

/// Asks until somebody answers.
async fn until_accepted(request: reqwest::RequestBuilder) {
    let begun = Instant::now();
    loop {
        let request = request.try_clone().expect("a body to send again");
        match request.send().await {
            Ok(answer) if answer.status().is_success() => return,
            other => assert!(begun.elapsed() < STARTING, "nothing was accepted: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A burst that nobody waits for, and then how quickly it is worked off, the projection of it included.
async fn accept(sheet: &mut Sheet, house: &House, authors: &Authors, at_once: usize) {
    let before = authors.begun.load(Ordering::Relaxed);
    let begun = Instant::now();
    let asking = authors.clone();
    let speed = fly(at_once, BURST, move || asking.clone().begin_book("respond-async", 202)).await;
    sheet.speed("command over HTTP, accepted", at_once, &speed);
    let all = authors.begun.load(Ordering::Relaxed);
    house.until_metric(DONE.0, &DONE.1, all as f64).await;
    let done = begun.elapsed();
    let folded = [("view", MY_BOOKS), ("colour", "read")];
    house.until_metric("maru_view_events_total", &folded, all as f64).await;
    if at_once == 256 {
        sheet.speed(
            "command, worked off after a burst",
            BURST,
            &Speed::whole(all - before, done),
        );
        sheet.speed(
            "event of a view, live",
            BURST,
            &Speed::whole(all - before, begun.elapsed()),
        );
    }
}

fn say_memory(sheet: &mut Sheet, house: &House, when: &str) {
    let memory = house.memory();
    sheet.value(&format!("resident, maru, {when}"), memory.maru, "MiB");
    sheet.value(&format!("resident, nats-server, {when}"), memory.nats, "MiB");
}

/// Builds a view again, from the first event on; returns how quickly it read. All rows must be there.
async fn rebuild(sheet: &mut Sheet, house: &House, data: &Path, books: usize) -> Speed {
    let url = server::running(&data.join("nats")).expect("a lock").expect("it runs");
    let nats = Nats::connect(&url, "bench").await.expect("a connection");
    let (view, folded) = (json!({ "view": MY_BOOKS }), [("view", MY_BOOKS), ("colour", "other")]);
    let asked = Instant::now();
    desk::ask(&nats, "views.rebuild", &view, |_| {})
        .await
        .expect("an answer");
    // From its first batch on: a reader looks twice a second whether there is anything to build.
    house.until_metric("maru_view_events_total", &folded, 1.0).await;
    let begun = Instant::now();
    let first = house.metric("maru_view_events_total", &folded).await;
    house
        .until_metric("maru_view_events_total", &folded, books as f64)
        .await;
    let speed = Speed::whole(books - first as usize, begun.elapsed());
    let stands = desk::ask(&nats, "views.wait", &view, |_| {}).await.expect("an answer");
    sheet.speed("event of a view, built again", 1, &speed);
    sheet.speed(
        "asked for, built again and compared",
        1,
        &Speed::whole(books, asked.elapsed()),
    );
    assert_eq!(stands["compared"]["rows"], books, "each 2xx is a row: {stands}");
    assert_eq!(stands["compared"]["otherRows"], books, "each 2xx is a row: {stands}");
    nats.close().await;
    speed
}

pub async fn commands(sheet: &mut Sheet, world: World, target: &Path) -> Commands {
    let (folder, log) = (tempfile::tempdir().expect("a folder"), target.join("bench-maru.log"));
    let data = folder.path().join("data");
    let house = House::start(&data, &log);
    let first_fresh = first_account(&house).await;
    sheet.value("start to first accepted, no data", first_fresh.as_secs_f64(), "s");
    say_memory(sheet, &house, "idle");

    let begun = Arc::<AtomicUsize>::default();
    let authors = Authors::log_in(&house, &begun).await;
    // Connections are made and rows are there before anything counts.
    authors.finish(16, 200).await;
    let alone = turns::alone(sheet, &world, &authors).await;
    let (crowd, live) = turns::crowd(sheet, &world, &authors).await;
    // Nothing of it takes part from here on.
    drop(world);
    for at_once in [1, 16, 64, 256] {
        let speed = authors.finish(at_once, usize::MAX).await;
        sheet.speed("command over HTTP, finished", at_once, &speed);
    }
    for at_once in [1, 16, 64, 256] {
        let authors = Authors::log_in(&house, &begun).await;
        accept(sheet, &house, &authors, at_once).await;
    }

    let authors = Authors::log_in(&house, &begun).await;
    let mixed = mixed(sheet, &authors).await;

    let (wanted, so_far) = (how_many(), begun.load(Ordering::Relaxed));
    // Halfway too, so that memory that only grows can be told from memory that fills.
    for part in [wanted.midpoint(so_far), wanted] {
        while begun.load(Ordering::Relaxed) < part {
            let left = part - begun.load(Ordering::Relaxed);
            let authors = Authors::log_in(&house, &begun).await;
            authors.finish(64, left.min(CHUNK)).await;
        }
        let when = format!("after {}", begun.load(Ordering::Relaxed));
        say_memory(sheet, &house, &when);
        if begun.load(Ordering::Relaxed) >= wanted {
            break;
        }
    }
    let books = begun.load(Ordering::Relaxed);
    let rebuild = rebuild(sheet, &house, &data, books).await;

    let again = Authors::log_in(&house, &begun).await;
    house.stop().await;
    let house = House::start(&data, &log);
    let ask = json!({ "title": "The moon in the well", "price": 9000 });
    let request = house.http.post(format!("{}/v1/books", house.api)).json(&ask);
    until_accepted(request.bearer_auth(&again.tokens[0])).await;
    let first_again = house.begun.elapsed();
    sheet.value("start to first accepted, with data", first_again.as_secs_f64(), "s");
    house.stop().await;
    Commands {
        first_fresh,
        first_again,
        alone,
        crowd,
        live,
        rebuild,
        mixed,
    }
}
