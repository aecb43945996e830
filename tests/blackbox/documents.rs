//! What is published about the door is what the door does.

use std::collections::BTreeSet;
use std::sync::Mutex;

use reqwest::Method;
use serde_json::{Value, json};

use crate::door::NOBODY;
use crate::house::{House, root};
use crate::person::Reply;

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
