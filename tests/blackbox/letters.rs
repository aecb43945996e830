//! What was given up, as administrators see it at the door and operators on the command line.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::house::{House, PASSWORD, eventually};
use crate::person::Person;
use crate::provider::Answer::Status;
use crate::provider::Desks::Chat;
use crate::provider::FakeAi;

async fn administrator(house: &House) -> Person {
    let mut admin = house.stranger();
    admin.username = "admin".to_owned();
    let login = json!({ "username": "admin", "password": PASSWORD });
    eventually("the administrator is there", async || {
        (admin.post("/v1/auth/login", login.clone()).await.status == 200).then_some(())
    })
    .await;
    admin.log_in().await;
    admin
}

/// `maru dead-letters …` on the house's data folder: whether it succeeded, and what it said.
fn maru(house: &House, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_maru"))
        .arg("dead-letters")
        .args(arguments)
        .arg("--data")
        .arg(house.data())
        .env("USER", "mina")
        .output()
        .expect("run maru");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// A command that no build can read, as a newer door might send it.
fn sends_nonsense(house: &House, id: &str) {
    let mut nats = TcpStream::connect(house.nats_address()).expect("nats-server");
    let headers = format!(
        "NATS/1.0\r\nce-id: {id}\r\nce-type: maru.books.create_book.v1\r\nce-source: test\r\n\
         ce-time: 2026-01-01T00:00:00Z\r\nce-subject: {id}\r\nmaru-actor: system\r\nmaru-correlation: {id}\r\n\r\n"
    );
    let body = r#"{"kind":"create_book","data":{"title":["My diary"]}}"#;
    let subject = format!("cmd.books.create_book.v1.{id}");
    let (head, whole) = (headers.len(), headers.len() + body.len());
    let request =
        format!("CONNECT {{\"headers\":true}}\r\nHPUB {subject} {head} {whole}\r\n{headers}{body}\r\nPING\r\n");
    nats.write_all(request.as_bytes()).expect("send");
    let mut answer = String::new();
    while !answer.contains("PONG") {
        let mut some = [0; 4096];
        let count = nats.read(&mut some).expect("an answer");
        assert!(count > 0, "{answer}");
        answer.push_str(&String::from_utf8_lossy(&some[..count]));
    }
}

#[tokio::test]
async fn a_story_that_was_given_up_is_written_when_an_administrator_replays_it() {
    let ai = FakeAi::new().await;
    let url = ai.url();
    let house = House::with(&[("OPENAI_BASE_URL", &url), ("MARU_ADMIN_PASSWORD", PASSWORD)]).await;
    let (mina, admin) = (house.author("mina").await, administrator(&house).await);
    ai.always(Chat, Status(500));
    let draft = json!({ "title": "The whale", "synopsis": "A star." });
    let book = mina.post("/v1/books", draft).await.is(201).id();
    mina.post(&format!("/v1/books/{book}/ai-draft"), json!({ "image": false }))
        .await
        .is(202);
    mina.sees_book(&book, "storyStatus", "FAILED").await;

    let letters = "/v1/ops/dead-letters";
    let letter = eventually("the letter is listed", async || {
        admin.get(letters).await.is(200).items().into_iter().next()
    })
    .await;
    assert_eq!(
        (&letter["lane"], &letter["state"]),
        (&json!("job-write_story"), &json!("dead"))
    );
    assert_eq!(
        (&letter["reason"], &letter["attempts"]),
        (&json!("provider_unavailable"), &json!(4))
    );
    let number = letter["number"].to_string();
    mina.get(letters).await.refused_as(403, "NOT_ALLOWED");
    mina.post(&format!("{letters}/{number}/replay"), json!({}))
        .await
        .refused_as(403, "NOT_ALLOWED");
    admin
        .get(&format!("{letters}/999999"))
        .await
        .refused_as(404, "NOT_THERE");
    admin
        .get(&format!("{letters}?state=lost"))
        .await
        .refused_as(400, "BAD_REQUEST");
    admin
        .get(&format!("{letters}?since=yesterday"))
        .await
        .refused_as(400, "BAD_REQUEST");
    let of_others = admin.get(&format!("{letters}?lane=job-charge")).await.is(200);
    assert!(of_others.items().is_empty());
    admin
        .get(&format!("{letters}?lane=chrage"))
        .await
        .refused_as(404, "NOT_THERE");
    // An order that says nothing is not an order for everything.
    let many = format!("{letters}/replay");
    admin.post(&many, json!({})).await.refused_as(400, "BAD_REQUEST");
    let plan = admin
        .post(&many, json!({ "kind": "write_story", "dryRun": true }))
        .await
        .is(200);
    assert_eq!(plan.json["wouldReplay"][0]["isReadable"], true, "{}", plan.json);
    assert_eq!(
        mina.sees_book(&book, "storyStatus", "FAILED").await["storyStatus"],
        "FAILED"
    );

    ai.then(Chat, &[]);
    let done = admin
        .post(&format!("{letters}/{number}/replay"), Value::Null)
        .await
        .is(200);
    assert_eq!(done.json["replayed"], json!([letter["number"]]));
    mina.sees_book(&book, "storyStatus", "READY").await;
    let resolved = eventually("the letter is resolved", async || {
        let letter = admin.get(&format!("{letters}/{number}")).await.is(200).json;
        (letter["state"] == "resolved").then_some(letter)
    })
    .await;
    let story: Vec<&Value> = resolved["history"]
        .as_array()
        .expect("a history")
        .iter()
        .map(|entry| &entry["what"])
        .collect();
    assert_eq!(story, ["died", "replayed", "resolved"]);
    assert!(
        resolved["history"][1]["by"]
            .as_str()
            .is_some_and(|by| by.starts_with("admin:"))
    );
    assert!(admin.get(letters).await.is(200).items().is_empty());

    let replays = format!("{letters}/replays");
    let replay = eventually("the replay is finished", async || {
        let newest = admin.get(&replays).await.is(200).items().into_iter().next()?;
        newest["finished"].is_string().then_some(newest)
    })
    .await;
    assert_eq!((&replay["id"], &replay["of"]), (&done.json["replay"], &json!(1)));
    assert_eq!((&replay["done"], &replay["dead"]), (&json!(1), &json!(0)));
    assert!(replay["by"].as_str().is_some_and(|by| by.starts_with("admin:")));
    let one = format!("{replays}/{}", replay["id"].as_str().expect("an id"));
    let shown = admin.get(&one).await.is(200).json;
    assert_eq!(shown["letters"][0]["number"], letter["number"]);
    assert_eq!(shown["letters"][0]["came"], "done");
    mina.get(&one).await.refused_as(403, "NOT_ALLOWED");
    let other = format!("{replays}/01900000-0000-7000-8000-000000000000");
    admin.get(&other).await.refused_as(404, "NOT_THERE");
    // It is settled, and stays so.
    admin
        .post(&format!("{letters}/{number}/replay"), Value::Null)
        .await
        .refused_as(409, "NOT_NOW");
    admin
        .post(&format!("{letters}/{number}/discard"), json!({ "because": "why not" }))
        .await
        .refused_as(409, "NOT_NOW");
    assert_eq!(admin.get(&replays).await.is(200).items().len(), 1, "nothing was begun");
    admin
        .post(&format!("{letters}/999999/replay"), Value::Null)
        .await
        .refused_as(404, "NOT_THERE");
    house.settles().await;
}

#[tokio::test]
async fn a_replay_of_many_is_as_slow_as_it_was_asked_to_be_and_is_not_waited_for_at_the_door() {
    const MANY: u64 = 14;
    let house = House::with(&[("MARU_ADMIN_PASSWORD", PASSWORD)]).await;
    let admin = administrator(&house).await;
    for n in 0..MANY {
        sends_nonsense(&house, &format!("01900000-0000-7000-8000-{n:012}"));
    }
    let letters = "/v1/ops/dead-letters";
    eventually("all are given up", async || {
        let page = admin.get(letters).await;
        (page.status == 200 && page.items().len() as u64 == MANY).then_some(())
    })
    .await;
    let begun = Instant::now();
    let order = json!({ "all": true, "perSecond": 1 });
    let under_way = admin.post(&format!("{letters}/replay"), order).await.is(202);
    let place = under_way.header("location").expect("where to ask").to_owned();
    let replay = eventually("the replay is finished", async || {
        let stands = admin.get(&place).await.is(200).json["replay"].take();
        (!stands["finished"].is_null()).then_some(stands)
    })
    .await;
    assert!(
        begun.elapsed() >= Duration::from_secs(MANY - 1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!((&replay["of"], &replay["dead"]), (&json!(MANY), &json!(MANY)));
    assert_eq!(admin.get(&format!("{letters}/replays")).await.is(200).items().len(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_command_that_was_given_up_says_so_and_operators_see_it_without_its_words() {
    let house = House::with(&[("MARU_ADMIN_PASSWORD", PASSWORD)]).await;
    let (mina, admin) = (house.author("mina").await, administrator(&house).await);
    let id = "01900000-0000-7000-8000-00000000beef";
    sends_nonsense(&house, id);
    let told = eventually("it is given up", async || {
        let told = admin.get(&format!("/v1/commands/{id}")).await;
        (told.status == 200 && told.str("status") == "given_up").then_some(told)
    })
    .await;
    assert_eq!(told.str("code"), "undecodable");
    mina.get(&format!("/v1/commands/{id}"))
        .await
        .refused_as(404, "NO_SUCH_COMMAND");

    let (good, listed) = maru(&house, &["list", "--lane", "cmd-books", "--json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let number = listed["items"][0]["number"].to_string();
    assert!(good && listed["items"][0]["message"] == id, "{listed}");
    let (good, shown) = maru(&house, &["show", &number]);
    assert!(
        good && shown.contains("undecodable") && !shown.contains("diary"),
        "{shown}"
    );
    let (good, plan) = maru(&house, &["replay", "--all", "--dry-run"]);
    assert!(good && plan.contains("CANNOT BE READ"), "{plan}");
    let (good, waited) = maru(&house, &["replay", &number, "--wait"]);
    assert!(!good && waited.contains("1 dead again"), "{waited}");
    let (good, replays) = maru(&house, &["replays", "--json"]);
    let replays: Value = serde_json::from_str(&replays).expect("JSON");
    let newest = &replays["items"][0];
    assert!(
        good && newest["dead"] == 1 && newest["by"] == "operator:mina",
        "{replays}"
    );
    let (good, shown) = maru(&house, &["replays", newest["id"].as_str().expect("an id")]);
    assert!(good && shown.contains("dead") && shown.contains("cmd-books"), "{shown}");
    let (good, _) = maru(&house, &["discard", &number]);
    assert!(!good, "there is always a reason");
    admin
        .post(
            &format!("/v1/ops/dead-letters/{number}/discard"),
            json!({ "because": " " }),
        )
        .await
        .refused_as(400, "VALIDATION");
    let (good, done) = maru(&house, &["discard", &number, "--because", "two builds did not fit"]);
    assert!(good && done.contains("discarded"), "{done}");
    let (good, _) = maru(&house, &["replay", &number]);
    assert!(!good, "a discarded letter is not replayed");
    let (good, shown) = maru(&house, &["show", &number, "--json"]);
    assert!(
        good && shown.contains("operator:mina") && shown.contains("two builds did not fit"),
        "{shown}"
    );
    let (good, _) = maru(&house, &["replay", "--lane", "cmd-boks"]);
    assert!(!good, "there is no such lane");
    let (good, none) = maru(&house, &["list"]);
    assert!(good && none.contains("No such letters"), "{none}");

    // Where nothing runs the same is said.
    house.settles().await;
    house.stop().await;
    let (good, listed) = maru(&house, &["list", "--state", "discarded"]);
    assert!(good && listed.contains("cmd-books"), "{listed}");
    let (good, _) = maru(&house, &["show", "999999"]);
    assert!(!good);
    let (good, _) = maru(&house, &["replay", "--all", "--wait"]);
    assert!(!good, "where nobody works nothing comes of waiting");
}
