//! What the door promises about every request: once, honestly, in pages, and as documented.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, eventually};
use crate::person::read;
use crate::provider::Desks::Chat;
use crate::provider::{Answer, FakeAi};

pub const NOBODY: &str = "0197b9a0-0000-7000-8000-000000000000";

#[tokio::test]
async fn people_read_their_own_writes_under_load_and_are_told_when_they_cannot() {
    let house = House::new().await;
    let mina = house.author("mina").await;
    let book = mina.publishes("Mine", 1).await;
    let path = format!("/v1/books/{book}");
    let crowd: Vec<_> = (0..4)
        .map(|nth| {
            let mina = mina.clone();
            tokio::spawn(async move {
                let book = mina.publishes(&format!("Noise {nth}"), 1).await;
                let mut count = 0_u32;
                loop {
                    count += 1;
                    let change = json!({ "title": format!("Noise {nth} {count}") });
                    mina.patch(&format!("/v1/books/{book}"), change).await.is(200);
                }
            })
        })
        .collect();
    for nth in 1..=100 {
        let title = format!("Mine {nth}");
        let written = mina.patch(&path, json!({ "title": title })).await.is(200);
        assert_eq!(written.str("durability"), "fsynced");
        assert_eq!(written.header("maru-durability"), Some("fsynced"));
        let seq = written.json["seq"].as_u64().expect("a token");
        assert_eq!(written.header("maru-seq"), Some(seq.to_string().as_str()));
        let seen = mina.get_after(&written, &path).await.is(200);
        assert_eq!(seen.str("title"), title, "stale");
        let view: u64 = seen
            .header("maru-view-seq")
            .expect("how far")
            .parse()
            .expect("a number");
        assert!(view >= seq);
        let list = if nth % 2 == 0 {
            "/v1/me/books?limit=100"
        } else {
            "/v1/books?limit=100"
        };
        let listed = mina.get_after(&written, list).await.is(200).items();
        let row = listed
            .iter()
            .find(|row| row["bookId"] == book.as_str())
            .expect("the book");
        assert_eq!(row["title"], title.as_str(), "stale in {list}");
    }
    for one in crowd {
        assert!(!one.is_finished(), "the load went on to the end");
        one.abort();
        let _ = one.await;
    }

    let far = mina
        .send(Method::GET, "/v1/books", &[("maru-min-seq", "1000000000")], None)
        .await;
    let far = far.refused_as(503, "VIEW_BEHIND");
    assert!(
        far.json["behind"].as_u64().is_some_and(|behind| behind > 900_000_000),
        "{}",
        far.text
    );
    mina.send(Method::GET, "/v1/books", &[("maru-min-seq", "soon")], None)
        .await
        .refused_as(400, "BAD_REQUEST");
    house.ends_well().await;
}

#[tokio::test]
async fn lists_come_in_pages_without_gaps_or_repeats() {
    let house = House::new().await;
    let mina = house.author("mina").await;
    let mut written = Vec::new();
    let mut last = None;
    for nth in 0..25 {
        let body = json!({ "title": format!("Book {nth}"), "contents": "x" });
        let reply = mina.post("/v1/books", body).await.is(201);
        written.insert(0, reply.id());
        last = Some(reply);
    }
    for list in ["/v1/books", "/v1/me/books"] {
        let mut page = mina
            .get_after(last.as_ref().expect("the last"), &format!("{list}?limit=10"))
            .await
            .is(200);
        let mut seen = Vec::new();
        let mut sizes = Vec::new();
        loop {
            let items = page.items();
            sizes.push(items.len());
            seen.extend(
                items
                    .iter()
                    .map(|item| item["bookId"].as_str().expect("an id").to_owned()),
            );
            let Some(link) = page.header("link") else { break };
            let next = link
                .strip_prefix('<')
                .and_then(|link| link.strip_suffix(">; rel=\"next\""))
                .expect("a link");
            let cursor = page.str("nextCursor");
            assert_eq!(next, format!("{list}?limit=10&cursor={cursor}"));
            if sizes.len() == 1 && list == "/v1/books" {
                // A book that comes meanwhile belongs before the first page and moves nothing.
                let body = json!({ "title": "Meanwhile", "contents": "x" });
                let late = mina.post("/v1/books", body).await.is(201);
                mina.get_after(&late, list).await.is(200);
            }
            page = mina.get(next).await.is(200);
        }
        seen.retain(|id| written.contains(id));
        assert_eq!(seen, written, "newest first, each once, in {list} ({sizes:?})");
        assert_eq!(page.json["nextCursor"], Value::Null);
    }
    for query in ["limit=0", "limit=101", "limit=-1", "limit=many", "limit=1000000"] {
        mina.get(&format!("/v1/books?{query}"))
            .await
            .refused_as(400, "BAD_REQUEST");
    }
    for cursor in ["nonsense", "!!!", "bnVsbA", "W10", "%00"] {
        mina.get(&format!("/v1/books?cursor={cursor}"))
            .await
            .refused_as(400, "BAD_CURSOR");
    }
    assert_eq!(mina.get("/v1/books?limit=100").await.is(200).items().len(), 26);
    assert_eq!(mina.get("/v1/books?limit=1").await.is(200).items().len(), 1);
    house.ends_well().await;
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again_and_nobody_else_is() {
    let proxies = ("MARU_TRUSTED_PROXIES", "192.0.2.0/24,127.0.0.1/32");
    let house = House::with(&[("MARU_REQUESTS_PER_SECOND", "5"), proxies]).await;
    let (mina, juno) = (house.author("mina").await, house.reader("juno").await);
    let replies = join_all((0..40).map(|_| mina.get("/v1/members/me"))).await;
    let (served, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
    // Each gateway counts for itself.
    let doors = house.site.as_ref().map_or(1, |site| site.gateways.len());
    assert!(
        (10..20 * doors).contains(&served.len()),
        "a burst of ten, and little more: {}",
        served.len()
    );
    for reply in &refused {
        assert_eq!((reply.status, reply.str("code").as_str()), (429, "TOO_MANY_REQUESTS"));
        let wait: u64 = reply.header("retry-after").expect("when").parse().expect("seconds");
        assert!((1..=5).contains(&wait), "{wait}");
    }
    // Others are served meanwhile, and whoever looks after the process too.
    juno.get("/v1/members/me").await.is(200);
    for _ in 0..30 {
        house.get("/livez").await.is(200);
    }
    eventually("mina is served again", async || {
        (mina.get("/v1/members/me").await.status == 200).then_some(())
    })
    .await;
    let counted = house.metric("maru_http_refused_total", &["rate"]).await;
    assert!(counted >= refused.len() as f64, "{counted}");

    // Strangers behind a proxy count for where they are, and not for the proxy.
    let stranger = house.stranger();
    let from = async |address: &'static str| {
        let told = [("x-forwarded-for", address)];
        let keys = stranger.send(Method::GET, "/.well-known/jwks.json", &told, None);
        keys.await.status
    };
    let many = join_all((0..60).map(|_| from("198.51.100.1"))).await;
    assert!(many.contains(&429), "{many:?}");
    assert_eq!(from("198.51.100.2").await, 200);
}

#[tokio::test]
async fn answers_carry_headers_that_keep_them_answers() {
    let house = House::new().await;
    let mina = house.author("mina").await;
    for path in ["/v1/books", "/v1/nothing", "/readyz", "/openapi.json", "/problems"] {
        let reply = mina.get(path).await;
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(
            reply.header("content-security-policy"),
            Some("default-src 'none'; frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        assert!(reply.header("server").is_none(), "{path}");
        assert!(reply.header("x-request-id").is_some_and(|id| id.len() == 36), "{path}");
    }
    // NF-24: one's own id is taken over, anything else is not.
    let own = mina
        .send(Method::GET, "/v1/books", &[("x-request-id", NOBODY)], None)
        .await;
    assert_eq!(own.header("x-request-id"), Some(NOBODY));
    let odd = mina
        .send(Method::GET, "/v1/books", &[("x-request-id", "<script>")], None)
        .await;
    assert_ne!(odd.header("x-request-id"), Some("<script>"));

    let ready = house.get("/readyz").await.is(200);
    assert_eq!(
        (ready.str("status").as_str(), ready.str("durability").as_str()),
        ("ready", "fsynced")
    );
    assert!(house.metric("maru_durability_info", &["fsynced"]).await >= 1.0);
    // Labels are patterns of addresses, never the addresses.
    mina.get(&format!("/v1/books/{NOBODY}")).await.is(404);
    mina.send(Method::from_bytes(b"BREW").expect("a method"), "/v1/books", &[], None)
        .await
        .is(405);
    let page = house.metrics_page().await;
    assert!(
        page.contains("/v1/books/{book}") && !page.contains(NOBODY) && !page.contains("BREW"),
        "{page}"
    );
    house.ends_well().await;
}

#[tokio::test]
async fn one_id_follows_a_request_into_what_is_said_of_the_work_it_causes() {
    let ai = FakeAi::new().await;
    let url = ai.url();
    let house = House::with(&[("OPENAI_BASE_URL", &url)]).await;
    let mina = house.author("mina").await;
    let book = mina
        .post("/v1/books", json!({ "title": "Traced", "synopsis": "A star." }))
        .await
        .is(201)
        .id();
    ai.then(Chat, &[Answer::Busy(1), Answer::Good]);
    let request = "0197b9a0-1111-7000-8000-000000000001";
    let path = format!("/v1/books/{book}/ai-draft");
    mina.send(
        Method::POST,
        &path,
        &[("x-request-id", request)],
        Some(json!({ "image": false })),
    )
    .await
    .is(202);
    mina.sees_book(&book, "storyStatus", "READY").await;
    let log = house.log();
    let told: Vec<&String> = log.iter().filter(|line| line.contains("trying again")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains(request),
        "a retry is told without the id of the request: {}",
        told[0]
    );
}

#[tokio::test]
async fn a_request_that_is_cut_off_does_no_harm() {
    let house = House::new().await;
    let mina = house.author("mina").await;
    let mut last = None;
    for nth in 0..20 {
        let body = json!({ "title": format!("Cut {nth}") });
        let request = mina
            .request(Method::POST, "/v1/books")
            .header("idempotency-key", format!("cut-{nth}"));
        let _ = tokio::time::timeout(Duration::from_millis(nth), read(request.json(&body))).await;
        let headers = [("idempotency-key", format!("cut-{nth}"))];
        let headers = [(headers[0].0, headers[0].1.as_str())];
        last = Some(mina.send(Method::POST, "/v1/books", &headers, Some(body)).await.is(201));
    }
    house.settles().await;
    let last = last.expect("an answer");
    let books = mina.get_after(&last, "/v1/me/books?limit=100").await.is(200);
    assert_eq!(books.items().len(), 20);
    house.ends_well().await;
}
