//! What the door promises about every request: once, honestly, in pages, and as documented.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, Reply, eventually, read, root};
use crate::provider::Desks::Chat;
use crate::provider::{Answer, FakeAi};

const NOBODY: &str = "0197b9a0-0000-7000-8000-000000000000";

fn key(key: &str) -> [(&str, &str); 1] {
    [("idempotency-key", key)]
}

#[tokio::test]
async fn the_same_key_has_one_effect_and_one_answer() {
    let house = House::new().await;
    let (mina, juno) = (house.author("mina").await, house.reader("juno").await);
    let stranger = house.stranger();
    let draft = mina
        .post("/v1/books", json!({ "title": "Draft", "synopsis": "A star." }))
        .await
        .is(201)
        .id();
    let (sold, other) = (mina.publishes("Sold", 5).await, mina.publishes("Other", 5).await);
    juno.buys(&other, "4242424242424242", "COMPLETED").await;
    let signup = json!({ "username": "kim", "password": "a long password", "nickname": "Kim" });
    let purchase = juno.post("/v1/purchases", json!({ "bookId": sold })).await.is(201).id();
    juno.sees_purchase(&purchase, "COMPLETED").await;
    let mut review = String::new();
    let at = |path: &str| path.replace("{draft}", &draft).replace("{sold}", &sold);
    let new_book = json!({ "title": "New" });
    let third = mina.publishes("Third", 5).await;
    for (who, method, path, body) in [
        (&stranger, Method::POST, "/v1/auth/signup".to_owned(), signup),
        (&mina, Method::POST, "/v1/books".to_owned(), new_book),
        (
            &mina,
            Method::POST,
            at("/v1/books/{draft}/ai-draft"),
            json!({ "image": false }),
        ),
        (&mina, Method::POST, at("/v1/books/{draft}/ai-image"), Value::Null),
        (&mina, Method::PATCH, at("/v1/books/{sold}"), json!({ "price": 6 })),
        (
            &juno,
            Method::POST,
            "/v1/purchases".to_owned(),
            json!({ "bookId": third }),
        ),
        (
            &juno,
            Method::POST,
            at("/v1/books/{sold}/reviews"),
            json!({ "content": "Good.", "rating": 3 }),
        ),
        (&juno, Method::PATCH, "{review}".to_owned(), json!({ "rating": 4 })),
        (&juno, Method::DELETE, "{review}".to_owned(), Value::Null),
        (
            &juno,
            Method::POST,
            format!("/v1/purchases/{purchase}/refund"),
            Value::Null,
        ),
        (&mina, Method::DELETE, at("/v1/books/{sold}"), Value::Null),
        (&mina, Method::POST, at("/v1/books/{draft}/publish"), Value::Null),
    ] {
        if path.ends_with("/publish") {
            mina.sees_book(&draft, "storyStatus", "READY").await;
        }
        let path = path.replace("{review}", &review);
        let sends = (0..4).map(|_| who.send(method.clone(), &path, &[("idempotency-key", "k-1")], Some(body.clone())));
        let mut replies = join_all(sends).await;
        replies.push(
            who.send(
                method.clone(),
                &path,
                &[("idempotency-key", "\"k-1\"")],
                Some(body.clone()),
            )
            .await,
        );
        let facts = |reply: &Reply| {
            let json = &reply.json;
            (
                reply.status,
                json["commandId"].clone(),
                json["id"].clone(),
                json["version"].clone(),
            )
        };
        let first = facts(&replies[0]);
        assert!((200..300).contains(&first.0), "{method} {path}: {}", replies[0].text);
        for reply in &replies {
            assert_eq!(facts(reply), first, "{method} {path}: {}", reply.text);
        }
        let fresh = replies
            .iter()
            .filter(|reply| reply.header("idempotency-replayed").is_none())
            .count();
        assert_eq!(fresh, 1, "{method} {path}: exactly one was not a repeat");
        if path.ends_with("/reviews") {
            review = format!("/v1/reviews/{}", replies[0].id());
        }
    }
    let own = mina.get("/v1/me/books").await.is(200).items();
    assert_eq!(own.iter().filter(|row| row["title"] == "New").count(), 1, "{own:?}");

    // NF-20: another body under the same key is refused, for whoever waits.
    let other_body = json!({ "title": "Another" });
    mina.send(Method::POST, "/v1/books", &key("k-1"), Some(other_body.clone()))
        .await
        .is_problem(422, "IDEMPOTENCY_KEY_REUSED");
    // Another person's same key is another key, and so is the same key at another address.
    house
        .author("bea")
        .await
        .send(Method::POST, "/v1/books", &key("k-1"), Some(other_body))
        .await
        .is(201);
    for bad in ["", "two words", &"x".repeat(201)] {
        let refused = mina
            .send(Method::POST, "/v1/books", &key(bad), Some(json!({ "title": "t" })))
            .await;
        refused.is_problem(400, "BAD_IDEMPOTENCY_KEY");
    }
    // A refusal is repeated as well.
    let publish = format!("/v1/books/{other}/publish");
    for _ in 0..2 {
        mina.send(Method::POST, &publish, &key("k-2"), None)
            .await
            .is_problem(409, "BOOKS_ALREADY_PUBLISHED");
    }
    house.ends_well().await;
}

#[tokio::test]
async fn another_body_under_a_used_key_is_refused_to_who_does_not_wait_too() {
    let house = House::new().await;
    let mina = house.author("mina").await;
    mina.send(Method::POST, "/v1/books", &key("k"), Some(json!({ "title": "One" })))
        .await
        .is(201);
    let headers = [("idempotency-key", "k"), ("prefer", "respond-async")];
    let other = mina
        .send(Method::POST, "/v1/books", &headers, Some(json!({ "title": "Two" })))
        .await;
    other.is_problem(422, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn a_repeated_order_is_answered_the_same_though_the_book_is_gone_meanwhile() {
    let house = House::new().await;
    let (mina, juno) = (house.author("mina").await, house.reader("juno").await);
    let book = mina.publishes("Soon gone", 5).await;
    let order = || {
        juno.send(
            Method::POST,
            "/v1/purchases",
            &[("idempotency-key", "k")],
            Some(json!({ "bookId": book })),
        )
    };
    let first = order().await.is(201);
    mina.delete(&format!("/v1/books/{book}")).await.is(200);
    let again = order().await.is(201);
    assert_eq!(
        (again.id(), &again.json["commandId"]),
        (first.id(), &first.json["commandId"])
    );
}

#[tokio::test]
async fn who_does_not_wait_is_told_where_to_ask() {
    let house = House::new().await;
    let (mina, bea) = (house.author("mina").await, house.author("bea").await);
    let prefer = [("prefer", "respond-async")];
    let taken = mina
        .send(Method::POST, "/v1/books", &prefer, Some(json!({ "title": "Later" })))
        .await
        .is(202);
    assert_eq!(
        (taken.str("status").as_str(), taken.header("preference-applied")),
        ("pending", Some("respond-async"))
    );
    let at = taken.header("location").expect("where to ask").to_owned();
    assert_eq!(at, format!("/v1/commands/{}", taken.str("commandId")));
    let done = eventually("the command is done", async || {
        let told = mina.get(&at).await.is(200);
        assert!(
            ["pending", "done"].contains(&told.str("status").as_str()),
            "{}",
            told.text
        );
        (told.str("status") == "done").then_some(told)
    })
    .await;
    assert_eq!((done.id(), &done.json["version"]), (taken.id(), &json!(1)));
    let token = eventually("the token is known", async || {
        let told = mina.get(&at).await.is(200);
        told.json["seq"].is_u64().then_some(told)
    })
    .await;
    mina.get_after(&token, &format!("/v1/books/{}", taken.id()))
        .await
        .is(200);
    bea.get(&at).await.is_problem(404, "NO_SUCH_COMMAND");
    house.get(&at).await.is_problem(401, "NOT_SIGNED_IN");
    mina.get(&format!("/v1/commands/{NOBODY}"))
        .await
        .is_problem(404, "NO_SUCH_COMMAND");

    let publish = format!("/v1/books/{}/publish", taken.id());
    let taken = mina.send(Method::POST, &publish, &prefer, None).await.is(202);
    let at = taken.header("location").expect("where to ask").to_owned();
    let refused = eventually("the command is refused", async || {
        let told = mina.get(&at).await.is(200);
        (told.str("status") == "refused").then_some(told)
    });
    assert_eq!(refused.await.str("code"), "BOOKS_NOTHING_TO_PUBLISH");

    // Both words together: within so long, and asynchronously if it takes longer.
    let both = [("prefer", "respond-async, wait=10")];
    let waited = mina
        .send(Method::POST, "/v1/books", &both, Some(json!({ "title": "Now" })))
        .await
        .is(201);
    assert_eq!(waited.header("preference-applied"), Some("wait=10"));
    house.ends_well().await;
}

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
    let far = far.is_problem(503, "VIEW_BEHIND");
    assert!(
        far.json["behind"].as_u64().is_some_and(|behind| behind > 900_000_000),
        "{}",
        far.text
    );
    mina.send(Method::GET, "/v1/books", &[("maru-min-seq", "soon")], None)
        .await
        .is_problem(400, "BAD_REQUEST");
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
            .is_problem(400, "BAD_REQUEST");
    }
    for cursor in ["nonsense", "!!!", "bnVsbA", "W10", "%00"] {
        mina.get(&format!("/v1/books?cursor={cursor}"))
            .await
            .is_problem(400, "BAD_CURSOR");
    }
    assert_eq!(mina.get("/v1/books?limit=100").await.is(200).items().len(), 26);
    assert_eq!(mina.get("/v1/books?limit=1").await.is(200).items().len(), 1);
    house.ends_well().await;
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again_and_nobody_else_is() {
    let house = House::with(&[("MARU_REQUESTS_PER_SECOND", "5")]).await;
    let (mina, juno) = (house.author("mina").await, house.reader("juno").await);
    let replies = join_all((0..40).map(|_| mina.get("/v1/auth/me"))).await;
    let (served, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
    assert!(
        (10..20).contains(&served.len()),
        "a burst of ten, and little more: {}",
        served.len()
    );
    for reply in &refused {
        assert_eq!((reply.status, reply.str("code").as_str()), (429, "TOO_MANY_REQUESTS"));
        let wait: u64 = reply.header("retry-after").expect("when").parse().expect("seconds");
        assert!((1..=5).contains(&wait), "{wait}");
    }
    // Others are served meanwhile, and whoever looks after the process too.
    juno.get("/v1/auth/me").await.is(200);
    for _ in 0..30 {
        house.get("/livez").await.is(200);
    }
    eventually("mina is served again", async || {
        (mina.get("/v1/auth/me").await.status == 200).then_some(())
    })
    .await;
    let counted = house.metric("maru_http_refused_total", &["rate"]).await;
    assert!(counted >= refused.len() as f64, "{counted}");
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
    assert_eq!(house.metric("maru_durability_info", &["fsynced"]).await, 1.0);
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

fn document() -> Value {
    let path = root().join("schemas/openapi.json");
    let text = std::fs::read_to_string(&path).expect("schemas/openapi.json; `make docs` writes it");
    serde_json::from_str(&text).expect("json")
}

#[tokio::test]
async fn the_documents_are_served_as_they_are_published_and_every_get_in_them_answers() {
    let house = House::new().await;
    let mina = house.author("mina").await;
    let openapi = house.get("/openapi.json").await.is(200).json;
    assert!(
        openapi == document(),
        "/openapi.json is not schemas/openapi.json; `make docs` writes that"
    );
    let asyncapi = house.get("/asyncapi.json").await.is(200).json;
    let published = std::fs::read_to_string(root().join("schemas/asyncapi.json")).expect("schemas/asyncapi.json");
    assert!(asyncapi == serde_json::from_str::<Value>(&published).expect("json"));
    assert_eq!(asyncapi["asyncapi"].as_str().map(|version| &version[..2]), Some("3."));
    let docs = house.get("/docs/").await.is(200);
    assert!(
        docs.header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
    );
    assert!(
        !docs.text.contains("https://"),
        "the page loads something from elsewhere"
    );

    for entry in house.get("/problems").await.is(200).json.as_array().expect("a list") {
        let code = entry["code"].as_str().expect("a code");
        assert_eq!(house.get(&format!("/problems/{code}")).await.is(200).json, *entry);
    }
    house.get("/problems/NO_SUCH_THING").await.is(404);
    house.get("/schemas/nothing.json").await.is(404);
    let mut schemas = 0;
    for file in std::fs::read_dir(root().join("schemas/json"))
        .expect("schemas/json")
        .flatten()
    {
        let served = house
            .get(&format!("/schemas/{}", file.file_name().to_string_lossy()))
            .await
            .is(200)
            .json;
        let published = std::fs::read_to_string(file.path()).expect("a schema");
        assert!(
            served == serde_json::from_str::<Value>(&published).expect("json"),
            "{file:?}"
        );
        schemas += 1;
    }
    assert!(schemas > 0);

    // NT-19: everything that can be got answers something documented, whoever asks.
    let mut asked = 0;
    for (path, item) in openapi["paths"].as_object().expect("paths") {
        let Some(get) = item.get("get") else { continue };
        let mut address = path.clone();
        while let (Some(from), Some(to)) = (address.find('{'), address.find('}')) {
            address.replace_range(from..=to, NOBODY);
        }
        for who in [&mina, &house.stranger()] {
            let answer = who.request(Method::GET, &address).send().await.expect("an answer");
            let status = answer.status().as_u16();
            let documented = &get["responses"][status.to_string()];
            assert!(
                documented.is_object(),
                "GET {path} answered {status}, which is not documented"
            );
            let kind = answer
                .headers()
                .get("content-type")
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default();
            assert!(
                documented["content"][kind].is_object(),
                "GET {path} answered {status} with {kind}"
            );
            let needs_login = get["security"].is_array();
            assert_eq!(
                status == 401,
                needs_login && who.token.is_empty(),
                "GET {path} {status}"
            );
            assert!(status < 500, "GET {path} {status}");
        }
        asked += 1;
    }
    assert!(asked >= 12, "{asked}");
    house.ends_well().await;
}

/// Every property that a schema knows, through references and compositions.
fn properties(document: &Value, schema: &Value, found: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        properties(
            document,
            document.pointer(name.trim_start_matches('#')).expect("a schema"),
            found,
        );
    }
    for key in ["allOf", "oneOf", "anyOf"] {
        for part in schema[key].as_array().into_iter().flatten() {
            properties(document, part, found);
        }
    }
    found.extend(
        schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone()),
    );
}

/// How the reply differs from what the document says of this operation and status; what is undocumented counts.
fn differences(document: &Value, method: &str, path: &str, reply: &Reply) -> Vec<String> {
    let kind = reply.header("content-type").unwrap_or_default();
    let responses = &document["paths"][path][method]["responses"];
    let schema = &responses[reply.status.to_string()]["content"][kind]["schema"];
    if !schema.is_object() {
        return vec![format!("{method} {path} {} {kind} is not documented", reply.status)];
    }
    let whole = json!({ "allOf": [schema], "components": document["components"] });
    let validator = jsonschema::validator_for(&whole).expect("a schema");
    let told = |error| format!("{method} {path} {}: {error}", reply.status);
    let mut differences: Vec<String> = validator
        .iter_errors(&reply.json)
        .map(|error| told(format!("{}: {error}", error.instance_path())))
        .collect();
    let mut known = BTreeSet::new();
    properties(document, schema, &mut known);
    for name in reply.json.as_object().into_iter().flatten().map(|(name, _)| name) {
        // A schema that names nothing, as of the key set, is of somebody else's making.
        if !known.is_empty() && !known.contains(name) {
            differences.push(told(format!("{name} is not documented")));
        }
    }
    differences
}

#[tokio::test]
async fn live_replies_are_as_the_document_says() {
    let house = House::new().await;
    let document = house.get("/openapi.json").await.is(200).json;
    let (mut mina, juno) = (house.stranger(), house.reader("juno").await);
    let found = Mutex::new(Vec::new());
    let check = |method: &str, path: &str, status: u16, reply: Reply| {
        let reply = reply.is(status);
        found
            .lock()
            .expect("a lock")
            .extend(differences(&document, method, path, &reply));
        reply
    };
    check("post", "/v1/auth/signup", 201, mina.sign_up("mina", "author").await);
    check("post", "/v1/auth/signup", 409, mina.sign_up("mina", "author").await);
    check("post", "/v1/auth/login", 200, mina.log_in().await);
    check("get", "/v1/auth/me", 200, mina.get("/v1/auth/me").await);
    check("get", "/v1/members/me", 200, mina.get("/v1/members/me").await);
    check("get", "/v1/members/me", 401, house.get("/v1/members/me").await);
    check(
        "get",
        "/.well-known/jwks.json",
        200,
        house.get("/.well-known/jwks.json").await,
    );
    let draft = json!({ "title": "One", "synopsis": "A star.", "price": 7 });
    let book = check("post", "/v1/books", 201, mina.post("/v1/books", draft).await).id();
    check(
        "post",
        "/v1/books",
        400,
        mina.post("/v1/books", json!({ "title": "" })).await,
    );
    check(
        "post",
        "/v1/books",
        403,
        juno.post("/v1/books", json!({ "title": "t" })).await,
    );
    let asynchronous = mina.send(
        Method::POST,
        "/v1/books",
        &[("prefer", "respond-async")],
        Some(json!({ "title": "t" })),
    );
    let taken = check("post", "/v1/books", 202, asynchronous.await);
    check(
        "get",
        "/v1/commands/{command}",
        200,
        mina.get(&format!("/v1/commands/{}", taken.str("commandId"))).await,
    );
    let at = format!("/v1/books/{book}");
    check(
        "post",
        "/v1/books/{book}/ai-draft",
        202,
        mina.post(&format!("{at}/ai-draft"), json!({})).await,
    );
    mina.sees_book(&book, "imageStatus", "READY").await;
    check("get", "/v1/books/{book}", 200, mina.get(&at).await);
    check(
        "post",
        "/v1/books/{book}/publish",
        200,
        mina.post(&format!("{at}/publish"), Value::Null).await,
    );
    let changed = check(
        "patch",
        "/v1/books/{book}",
        200,
        mina.patch(&at, json!({ "title": "Two" })).await,
    );
    check("patch", "/v1/books/{book}", 412, {
        mina.send(
            Method::PATCH,
            &at,
            &[("if-match", "\"1\"")],
            Some(json!({ "title": "3" })),
        )
        .await
    });
    check("get", "/v1/books", 200, juno.get_after(&changed, "/v1/books").await);
    check("get", "/v1/books", 503, {
        juno.send(Method::GET, "/v1/books", &[("maru-min-seq", "1000000")], None)
            .await
    });
    check("get", "/v1/me/books", 200, mina.get("/v1/me/books").await);
    check(
        "get",
        "/v1/books/{book}/contents",
        402,
        juno.get(&format!("{at}/contents")).await,
    );
    let bought = check(
        "post",
        "/v1/purchases",
        201,
        juno.post("/v1/purchases", json!({ "bookId": book })).await,
    );
    check(
        "post",
        "/v1/purchases",
        409,
        juno.post("/v1/purchases", json!({ "bookId": book })).await,
    );
    check(
        "post",
        "/v1/purchases",
        404,
        juno.post("/v1/purchases", json!({ "bookId": NOBODY })).await,
    );
    let purchase = format!("/v1/purchases/{}", bought.id());
    juno.sees_purchase(&bought.id(), "COMPLETED").await;
    check("get", "/v1/purchases/{purchase}", 200, juno.get(&purchase).await);
    check(
        "get",
        "/v1/books/{book}/contents",
        200,
        juno.get(&format!("{at}/contents")).await,
    );
    let words = json!({ "content": "Good.", "rating": 4.5 });
    let review = check(
        "post",
        "/v1/books/{book}/reviews",
        201,
        juno.post(&format!("{at}/reviews"), words).await,
    );
    let reviews = juno.get_after(&review, &format!("{at}/reviews")).await;
    assert_eq!(reviews.items().len(), 1);
    check("get", "/v1/books/{book}/reviews", 200, reviews);
    let review = format!("/v1/reviews/{}", review.id());
    check(
        "patch",
        "/v1/reviews/{review}",
        200,
        juno.patch(&review, json!({ "rating": 1 })).await,
    );
    check("delete", "/v1/reviews/{review}", 200, juno.delete(&review).await);
    house.settles().await;
    check("get", "/v1/me/library", 200, juno.get("/v1/me/library").await);
    check("get", "/v1/payments", 200, juno.get("/v1/payments").await);
    let refund = juno.post(&format!("{purchase}/refund"), Value::Null).await;
    check("post", "/v1/purchases/{purchase}/refund", 202, refund);
    check("delete", "/v1/books/{book}", 200, mina.delete(&at).await);
    let found = found.into_inner().expect("a lock");
    assert!(found.is_empty(), "{}", found.join("\n"));
    house.ends_well().await;
}

#[tokio::test]
async fn a_request_that_is_cut_off_does_no_harm() {
    let house = House::new().await;
    let mina = house.author("mina").await;
    for nth in 0..20 {
        let body = json!({ "title": format!("Cut {nth}") });
        let request = mina
            .request(Method::POST, "/v1/books")
            .header("idempotency-key", format!("cut-{nth}"));
        let _ = tokio::time::timeout(Duration::from_millis(nth), read(request.json(&body))).await;
        let headers = [("idempotency-key", format!("cut-{nth}"))];
        let headers = [(headers[0].0, headers[0].1.as_str())];
        mina.send(Method::POST, "/v1/books", &headers, Some(body)).await.is(201);
    }
    house.settles().await;
    assert_eq!(mina.get("/v1/me/books?limit=100").await.is(200).items().len(), 20);
    house.ends_well().await;
}
