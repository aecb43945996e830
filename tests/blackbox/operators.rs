//! Those who look after the house: `maru …` as a person types it, and the same through the door.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use maru_streams::nats::Nats;
use maru_streams::publish::{Outgoing, Publisher};
use maru_streams::topology::COMMANDS;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::house::{House, PASSWORD, eventually, one_process_only, within};
use crate::person::Person;
use crate::provider::Answer::Slow;
use crate::provider::Desks::Images;
use crate::provider::FakeAi;

/// What a command said, and with which code it ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }

    #[track_caller]
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{} {}", self.out, self.err);
        self
    }
}

/// `maru …` on the data folder of a house.
async fn maru(house: &House, words: &[&str]) -> Said {
    maru_with(house, words, None).await
}

/// The same, with a nats-server named in the environment.
async fn maru_with(house: &House, words: &[&str], nats: Option<&str>) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maru"));
    command
        .args(words)
        .arg("--data")
        .arg(house.data())
        .current_dir(crate::house::root())
        .env_remove("NATS_URL")
        .envs(nats.map(|url| ("NATS_URL", url)))
        .env("USER", "juno")
        .env_remove("SUDO_USER")
        .stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.output());
    let Output { status, stdout, stderr } = ended.await.expect("a thread").expect("start maru");
    Said {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

async fn administrator(house: &House) -> Person {
    let mut admin = house.stranger();
    let login = json!({ "username": "admin", "password": PASSWORD });
    admin.token = eventually("the administrator is there", async || {
        let reply = admin.post("/v1/auth/login", login.clone()).await;
        (reply.status == 200).then(|| reply.str("accessToken"))
    })
    .await;
    admin
}

fn lane<'a>(status: &'a Value, name: &str) -> &'a Value {
    let lanes = status["lanes"].as_array().expect("lanes");
    lanes.iter().find(|lane| lane["lane"] == name).expect("the lane")
}

async fn draft(author: &Person) -> String {
    let body = json!({ "title": "The whale", "synopsis": "A whale counts stars." });
    author.post("/v1/books", body).await.is(201).id()
}

#[tokio::test]
async fn a_lane_is_seen_paused_and_let_go_on_from_the_command_line_and_through_the_door() {
    let house = House::with(&[("MARU_ADMIN_PASSWORD", PASSWORD)]).await;
    let (admin, mina) = (administrator(&house).await, house.author("mina").await);
    let status = maru(&house, &["status", "--json"]).await.ended(0).json();
    assert_eq!(lane(&status, "job-write_story")["health"], "idle");
    assert!(status["streams"].as_array().is_some_and(|streams| streams.len() == 6));
    assert_eq!(status["needs"], json!([]));
    let page = maru(&house, &["status"]).await.ended(0).out;
    assert!(
        page.contains("nothing needs you") && page.contains("cmd-books"),
        "{page}"
    );

    let paused = maru(&house, &["lanes", "pause", "write_story"]).await.ended(0).out;
    let all = ["job-write_story", "late-write_story", "redo-job-write_story"];
    assert_eq!(paused, all.map(|name| format!("{name} is paused\n")).concat());
    let book = draft(&mina).await;
    let wish = format!("/v1/books/{book}/ai-draft");
    mina.post(&wish, json!({ "image": false })).await.is(202);
    let seen = eventually("the job waits", async || {
        let status = admin.get("/v1/ops/lanes").await.is(200).json;
        (lane(&status, "job-write_story")["pending"] == 1).then_some(status)
    })
    .await;
    let story = lane(&seen, "job-write_story");
    assert_eq!(
        (&story["health"], &story["paused"]["by"]),
        (&json!("paused"), &json!("operator:juno"))
    );
    let page = maru(&house, &["status"]).await.ended(0).out;
    assert!(
        page.contains("! job-write_story: paused by operator:juno since "),
        "{page}"
    );

    mina.get("/v1/ops/lanes").await.refused_as(403, "NOT_ALLOWED");
    mina.post("/v1/ops/lanes/job-write_story/resume", json!({}))
        .await
        .refused_as(403, "NOT_ALLOWED");
    let unknown = admin.post("/v1/ops/lanes/nothing/pause", json!({})).await;
    unknown.refused_as(404, "NOT_THERE");
    admin
        .post("/v1/ops/lanes/job-write_story/resume", json!({}))
        .await
        .is(200);
    mina.sees_book(&book, "storyStatus", "READY").await;
    let log = house.log();
    assert!(
        log.iter()
            .any(|line| line.contains("paused by an operator") && line.contains("operator:juno"))
    );
    assert!(
        log.iter()
            .any(|line| line.contains("resumed by an operator") && line.contains("admin:"))
    );

    let drained = maru(&house, &["lanes", "drain", "--all", "--json"])
        .await
        .ended(0)
        .json();
    assert!(
        drained["drained"].as_array().is_some_and(|lanes| lanes.len() > 10),
        "{drained}"
    );
    maru(&house, &["lanes", "pause", "due-ticks"]).await.ended(0);
    let resumed = maru(&house, &["lanes", "resume", "--all"]).await.ended(0).out;
    assert!(resumed.contains("due-ticks goes on"), "{resumed}");
    let page = maru(&house, &["status"]).await.ended(0).out;
    assert!(!page.contains("deaf") && !page.contains("paused"), "{page}");
    let nothing = maru(&house, &["lanes", "pause", "nothing"]).await.ended(1);
    assert!(nothing.err.contains("there is no lane nothing"), "{}", nothing.err);
    maru(&house, &["lanes", "pause"]).await.ended(2);
    // What is typed counts before what the environment says.
    let elsewhere = "nats://127.0.0.1:1";
    maru_with(&house, &["status"], Some(elsewhere)).await.ended(0);
    maru(&house, &["status", "--nats", elsewhere]).await.ended(2);
    draft(&mina).await;
    house.ends_well().await;
}

#[tokio::test]
async fn a_command_is_followed_while_the_house_runs_and_when_it_does_not() {
    let house = House::with(&[("MARU_ADMIN_PASSWORD", PASSWORD)]).await;
    let (admin, mina) = (administrator(&house).await, house.author("mina").await);
    let book = draft(&mina).await;
    let reply = mina
        .post(&format!("/v1/books/{book}/ai-draft"), json!({}))
        .await
        .is(202);
    let (command, request) = (
        reply.str("commandId"),
        reply.header("x-request-id").expect("an id").to_owned(),
    );
    mina.sees_book(&book, "imageStatus", "READY").await;
    house.settles().await;

    let page = eventually("every view has seen it", async || {
        let page = maru(&house, &["trace", &command]).await.ended(0).out;
        (!page.contains("not yet by")).then_some(page)
    })
    .await;
    for words in [
        "command books.request_story  done",
        "event books.story_requested v",
        "job write_story  done",
        "call write_story: done",
        "command books.attach_image  done",
        "seen by book_home",
        "◀",
    ] {
        assert!(page.contains(words), "{words:?} is not in\n{page}");
    }
    let told = maru(&house, &["trace", &request, "--json"]).await.ended(0).json();
    assert_eq!(
        (&told["root"]["id"], &told["request"]),
        (&json!(command), &json!(request))
    );
    let path = format!("/v1/ops/commands/{command}/trace");
    assert_eq!(admin.get(&path).await.is(200).json["root"]["id"], json!(command));
    mina.get(&path).await.refused_as(403, "NOT_ALLOWED");
    let nothing = Uuid::from_u128(404).to_string();
    admin
        .get(&format!("/v1/ops/commands/{nothing}/trace"))
        .await
        .refused_as(404, "NOT_THERE");
    let stranger = maru(&house, &["trace", &nothing]).await.ended(1);
    assert!(
        stranger.err.contains("nothing in the streams has the id"),
        "{}",
        stranger.err
    );

    assert!(house.stop().await.success());
    let later = maru(&house, &["trace", &command]).await.ended(0).out;
    assert_eq!(later, page);
    let status = maru(&house, &["status", "--json"]).await.ended(0).json();
    assert_eq!(lane(&status, "job-write_story")["health"], "idle");
    maru(&house, &["deploy-check"]).await.ended(0);
}

#[tokio::test]
async fn a_doctor_says_what_is_wrong_and_what_to_do() {
    if one_process_only("a doctor looks at the data folder of one process") {
        return;
    }
    let house = House::new().await;
    let said = maru(&house, &["doctor", "--json"]).await;
    let findings = said.json()["findings"].as_array().cloned().expect("findings");
    let grades = |what: &str| {
        let of = findings.iter().filter(|one| one["what"] == what);
        of.map(|one| one["grade"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    for what in [
        "nats-server",
        "database",
        "durability",
        "clock of nats-server",
        "clock of the database",
        "topology",
        "outbox",
        "keys",
        "last start",
    ] {
        assert_eq!(grades(what), ["ok"], "{what} in {}", said.out);
    }
    assert_eq!(grades("stream").len(), 6);
    let has_bad = |said: &Said| said.out.contains("\"bad\"");
    assert_eq!(said.code, i32::from(has_bad(&said)), "{}", said.out);

    let key = house.data().join("keys/signing.pem");
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o644)).expect("open the key");
    let ill = maru(&house, &["doctor"]).await.ended(1);
    assert!(
        ill.out.contains("others can read signing.pem") && ill.out.contains("→ chmod go="),
        "{}",
        ill.out
    );
    assert!(ill.err.contains("findings are bad"), "{}", ill.err);
    house.ends_well().await;
}

/// What a newer build left in COMMANDS.
async fn plant(house: &House, subject: &str) {
    let url = maru_streams::server::running(&house.data().join("nats")).expect("ports");
    let nats = Nats::connect(&url.expect("it runs"), "test")
        .await
        .expect("a connection");
    let message = Outgoing {
        subject: subject.to_owned(),
        headers: Vec::new(),
        body: "{}".into(),
        expects: Some(0),
    };
    Publisher::start(nats, COMMANDS).publish(message).await.expect("stored");
}

#[tokio::test]
async fn a_build_that_cannot_read_what_waits_is_not_to_be_deployed() {
    let house = House::new().await;
    house.author("mina").await;
    maru(&house, &["lanes", "pause", "cmd-books"]).await.ended(0);
    let well = maru(&house, &["deploy-check"]).await.ended(0).out;
    assert!(well.contains("this build reads all that is there"), "{well}");
    plant(&house, &format!("cmd.books.create_book.v2.{}", Uuid::from_u128(1))).await;
    plant(&house, &format!("cmd.books.burn_book.v1.{}", Uuid::from_u128(2))).await;
    let refused = maru(&house, &["deploy-check", "--json"]).await.ended(1);
    assert!(refused.err.contains("would strand 2 messages"), "{}", refused.err);
    let kinds: Vec<Value> = refused.json()["unreadable"].as_array().cloned().unwrap_or_default();
    assert_eq!(
        kinds.iter().map(|kind| &kind["kind"]).collect::<Vec<_>>(),
        ["cmd.books.burn_book.v1", "cmd.books.create_book.v2"]
    );
}

#[tokio::test]
async fn who_would_wait_too_long_is_told_how_long_and_sent_away() {
    let ai = FakeAi::new().await;
    ai.always(Images, Slow(Duration::from_secs(1)));
    let url = ai.url();
    let settings = [
        ("OPENAI_BASE_URL", url.as_str()),
        ("OPENAI_API_KEY", "sk-none"),
        ("MARU_LONGEST_WAIT_S", "3"),
    ];
    let house = House::with(&settings).await;
    let mina = house.author("mina").await;
    let paint = async |book: &str| {
        let path = format!("/v1/books/{book}/ai-image");
        mina.send(Method::POST, &path, &[("idempotency-key", book)], None).await
    };
    let mut books = Vec::new();
    for _ in 0..120 {
        books.push(draft(&mina).await);
    }
    for book in &books {
        paint(book).await.is(202);
    }
    let late = draft(&mina).await;
    let busy = within(
        Duration::from_secs(40),
        "the door knows how long it takes",
        async || {
            let path = format!("/v1/books/{late}/ai-image");
            let reply = mina.send(Method::POST, &path, &[], None).await;
            (reply.status == 429).then_some(reply)
        },
    )
    .await
    .refused_as(429, "LANE_BUSY");
    let said: f64 = busy
        .header("retry-after")
        .and_then(|wait| wait.parse().ok())
        .expect("a time");
    let since = Instant::now();
    // What was taken in before is not turned away.
    assert_eq!(
        paint(&books[0]).await.is(202).header("idempotency-replayed"),
        Some("true")
    );
    // Other lanes have nothing to do with it.
    draft(&mina).await;
    within(Duration::from_secs(90), "all is painted", async || {
        let status = maru(&house, &["status", "--json"]).await.ended(0).json();
        ["job-paint_image", "late-paint_image"]
            .iter()
            .all(|name| lane(&status, name)["health"] == "idle")
            .then_some(())
    })
    .await;
    let took = since.elapsed().as_secs_f64();
    assert!(
        took < said * 2.0 + 3.0 && said < took * 2.0,
        "said {said} s, took {took} s"
    );
    let last = within(Duration::from_secs(20), "the door lets in again", async || {
        let reply = paint(&draft(&mina).await).await;
        (reply.status == 202).then_some(reply)
    })
    .await;
    let expected: Option<u64> = last.header("maru-expected-wait").and_then(|wait| wait.parse().ok());
    assert!(expected.is_some_and(|expected| expected <= 3), "{expected:?}");
    house.ends_well().await;
}
