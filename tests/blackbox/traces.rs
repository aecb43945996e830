//! One trace from a request to the views that show what came of it, as a collector gets it; and the same ids on
//! the lines of the log.

use reqwest::Method;
use serde_json::{Value, json};

use crate::collector::{Collector, Seen};
use crate::house::{House, eventually};
use crate::provider::Answer::{Good, Status};
use crate::provider::{Desks, FakeAi, STORY};

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

/// A trace of the caller's own, in W3C's words.
fn context(trace: &str) -> String {
    format!("00-{trace}-b7ad6b7169203331-01")
}

#[tokio::test]
async fn one_trace_leads_from_the_request_to_every_view_through_jobs_and_what_they_call() {
    let (collector, ai) = (Collector::new().await, FakeAi::new().await);
    // Nothing is sent before the end but what does not fit: so the end has to send it.
    let house = House::with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100000"),
        ("OPENAI_BASE_URL", &ai.url()),
        ("OPENAI_API_KEY", "k"),
    ])
    .await;
    let mina = house.author("zephyrine").await;
    let (writing, drafting) = ("0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319d");
    let new = json!({ "title": "WORDS-OF-THE-TITLE", "synopsis": "WORDS-OF-THE-SYNOPSIS" });
    let headers = [("traceparent", context(writing))];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let written = mina.send(Method::POST, "/v1/books", &headers, Some(new)).await.is(201);
    mina.get_after(&written, "/v1/me/books").await.is(200);

    ai.then(Desks::Chat, &[Status(500), Good]);
    let headers = [("traceparent", context(drafting))];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let path = format!("/v1/books/{}/ai-draft", written.id());
    let asked = mina.send(Method::POST, &path, &headers, Some(json!({}))).await;
    assert!(asked.status < 300, "{}", asked.text);
    let request = asked.header("x-request-id").expect("an id").to_owned();
    eventually("the story is in the book", async || {
        let book = mina.get(&format!("/v1/books/{}", written.id())).await;
        (book.json["contents"] == STORY).then_some(())
    })
    .await;
    house.settles().await;
    let told = async |name: &str, labels: &[&str]| house.metric(name, labels).await;
    assert_eq!(
        told("maru_ai_tokens_total", &["what=\"story\"", "side=\"input\""]).await,
        7.0
    );
    assert_eq!(
        told("maru_ai_tokens_total", &["what=\"story\"", "side=\"output\""]).await,
        11.0
    );
    for outcome in ["outcome=\"unavailable\"", "outcome=\"done\""] {
        assert_eq!(
            told("maru_ai_calls_total", &["what=\"story\"", outcome]).await,
            1.0,
            "{outcome}"
        );
    }
    assert!(house.stop().await.success());

    // The caller's span is the root: everything else hangs together below it.
    let trace = collector.trace(writing);
    for span in &trace.0 {
        let way = trace.way_up(span);
        assert_eq!(
            way.last().map(String::as_str),
            Some("b7ad6b7169203331"),
            "{span:?}: {way:?}"
        );
        assert!(span.service.starts_with("maru"), "{span:?}");
    }
    let one = |name: &str| -> Seen {
        let found = trace.named(name);
        assert_eq!(found.len(), 1, "{name} in {:?}", names(&trace.0));
        found[0].clone()
    };
    let shown = one("show my_books");
    let way = [
        "show my_books",
        "send evt.books.book_created.v1",
        "process COMMANDS",
        "send cmd.books.create_book.v1",
        "POST /v1/books",
        "b7ad6b7169203331",
    ];
    assert_eq!(trace.way_up(&shown), way);
    let kinds = [CONSUMER, PRODUCER, CONSUMER, PRODUCER, SERVER];
    for (name, kind) in way.iter().zip(kinds) {
        assert_eq!(one(name).kind, kind, "{name}");
    }
    let committed = one("transact books");
    assert_eq!(trace.way_up(&committed)[1], "process COMMANDS");
    assert!(
        committed.kind == CLIENT && committed.ended <= shown.ended,
        "{committed:?}"
    );
    let asked_for = one("POST /v1/books");
    assert_eq!(asked_for.attributes["http.response.status_code"], "201");
    assert_eq!(asked_for.attributes["http.route"], "/v1/books");
    let process = one("process COMMANDS");
    assert_eq!(process.attributes["messaging.system"], "nats");
    assert_eq!(process.attributes["messaging.consumer.group.name"], "cmd-books");
    assert_eq!(process.attributes["maru.verdict"], "done");
    assert_eq!(process.attributes["messaging.message.id"], written.str("commandId"));
    // A batch is one span for all of its events, and points to them.
    let batches = collector.everything();
    let batches = batches.iter().filter(|span| span.name == "fold my_books");
    assert!(
        batches
            .clone()
            .any(|batch| batch.links.iter().any(|link| link == writing))
    );

    // Through a job that failed once, and what it called, up to the view that shows the story.
    let trace = collector.trace(drafting);
    let calls = trace.named("write story");
    assert_eq!(calls.len(), 2, "{:?}", names(&trace.0));
    assert_eq!(calls.iter().filter(|call| call.is_error).count(), 1, "{calls:?}");
    assert!(calls.iter().all(|call| call.kind == CLIENT), "{calls:?}");
    assert!(trace.way_up(calls[0])[1..].starts_with(&[
        "process JOBS".to_owned(),
        "send job.write_story.v1".to_owned(),
        "process EVENTS".to_owned(),
    ]));
    let attached = trace.named("send evt.books.story_attached.v1");
    assert_eq!(attached.len(), 1, "{:?}", names(&trace.0));
    let shown = trace.named("show book_detail");
    assert!(shown.iter().any(|shown| shown.parent == attached[0].id), "{shown:?}");
    assert!(
        trace
            .0
            .iter()
            .all(|span| trace.way_up(span).last().is_some_and(|top| top == "b7ad6b7169203331"))
    );

    // The same ids are on the line that says that it is tried again.
    let lines: Vec<Value> = house
        .log()
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let again = lines
        .iter()
        .find(|line| line["message"] == "trying again")
        .expect("a line");
    assert_eq!(
        (&again["traceId"], &again["requestId"], &again["lane"]),
        (&json!(drafting), &json!(request), &json!("job-write_story")),
    );

    // What people typed, and who they are, is in no span.
    let everything = format!("{:?}", collector.everything());
    for secret in ["WORDS-OF", "zephyrine", mina.token.as_str(), STORY] {
        assert!(!everything.contains(secret), "{secret}");
    }
    assert!(!collector.everything().iter().any(|span| span.name.contains("readyz")));
}

fn names(spans: &[Seen]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

#[tokio::test]
async fn without_a_collector_the_callers_trace_is_carried_and_stands_in_the_log_all_the_same() {
    let ai = FakeAi::new().await;
    let house = House::with(&[("OPENAI_BASE_URL", &ai.url()), ("OPENAI_API_KEY", "k")]).await;
    let mina = house.author("zephyrine").await;
    let trace = "2cf7651916cd43dd8448eb211c80319e";
    let written = mina
        .post(
            "/v1/books",
            json!({ "title": "One", "synopsis": "A whale looks for a star." }),
        )
        .await
        .is(201);
    ai.then(Desks::Chat, &[Status(500), Good]);
    let path = format!("/v1/books/{}/ai-draft", written.id());
    let headers = [("traceparent", context(trace))];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    mina.send(Method::POST, &path, &headers, Some(json!({}))).await;
    let line = eventually("it is tried again", async || {
        house
            .log()
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["message"] == "trying again")
    })
    .await;
    assert_eq!(line["traceId"], trace, "{line}");
    house.ends_well().await;
}
