//! Writing, publishing, changing and withdrawing books, and what odd input becomes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, PASSWORD, eventually};
use crate::person::read;

const GOOD_CARD: &str = "4242 4242 4242 4242";

fn lists(items: &[Value], book: &str) -> bool {
    items.iter().any(|item| item["bookId"] == book)
}

#[tokio::test]
async fn an_author_publishes_changes_and_withdraws_and_buyers_keep_what_they_bought() {
    let house = House::new().await;
    let (mina, bea) = (house.author("mina").await, house.author("bea").await);
    let (juno, kim) = (house.reader("juno").await, house.reader("kim").await);

    // BK-01: with contents it is published, without it is a draft.
    let new = json!({ "title": "One", "contents": "First words.", "price": 900 });
    juno.post("/v1/books", new.clone()).await.refused_as(403, "NOT_ALLOWED");
    house
        .stranger()
        .post("/v1/books", new.clone())
        .await
        .refused_as(401, "NOT_SIGNED_IN");
    let written = mina.post("/v1/books", new).await.is(201);
    let book = written.id();
    let path = format!("/v1/books/{book}");
    assert_eq!(written.header("location"), Some(path.as_str()));
    let draft = mina.post("/v1/books", json!({ "title": "Draft" })).await.is(201);
    mina.post("/v1/books", json!({ "title": "None", "publish": true }))
        .await
        .refused_as(409, "BOOKS_NOTHING_TO_PUBLISH");

    // BK-23, BK-24: members see the catalogue, without contents and without drafts.
    house.get("/v1/books").await.refused_as(401, "NOT_SIGNED_IN");
    let catalogue = juno.get_after(&draft, "/v1/books").await.is(200);
    assert!(
        lists(&catalogue.items(), &book) && !lists(&catalogue.items(), &draft.id()),
        "{}",
        catalogue.text
    );
    assert!(!catalogue.text.contains("First words"), "{}", catalogue.text);
    let row = &catalogue.items()[0];
    assert_eq!(
        (&row["title"], &row["price"], &row["reviewCount"]),
        (&json!("One"), &json!(900), &json!(0))
    );
    assert_eq!(row["author"]["nickname"], "mina");

    // BK-26: an author's own page has both. Drafts are nobody else's.
    let own = mina.get_after(&draft, "/v1/me/books").await.is(200);
    assert!(
        lists(&own.items(), &book) && lists(&own.items(), &draft.id()),
        "{}",
        own.text
    );
    assert!(bea.get("/v1/me/books").await.is(200).items().is_empty());
    juno.get(&format!("/v1/books/{}", draft.id()))
        .await
        .refused_as(404, "BOOKS_NO_SUCH_BOOK");
    bea.get(&format!("/v1/books/{}/contents", draft.id())).await.is(404);

    // BK-30: an author reads their own.
    assert_eq!(
        mina.get(&format!("{path}/contents")).await.is(200).str("contents"),
        "First words."
    );
    assert_eq!(bea.get(&path).await.is(200).json["contents"], Value::Null);
    juno.buys(&book, GOOD_CARD, "COMPLETED").await;

    // BK-13: changed by its author, and by nobody else; If-Match protects from overwriting.
    let read = mina.get(&path).await.is(200);
    let tag = read.header("etag").expect("a tag").to_owned();
    let change = json!({ "title": "x", "price": 5, "contents": "Other words." });
    let changed = mina
        .send(Method::PATCH, &path, &[("if-match", &tag)], Some(change))
        .await
        .is(200);
    let new_tag = changed.header("etag").expect("a tag").to_owned();
    assert_ne!(tag, new_tag);
    let seen = mina.get_after(&changed, &path).await.is(200);
    assert_eq!((seen.str("title").as_str(), &seen.json["price"]), ("x", &json!(5)));
    assert_eq!(seen.header("etag"), Some(new_tag.as_str()));
    let stale = json!({ "title": "y" });
    let refused = mina
        .send(Method::PATCH, &path, &[("if-match", &tag)], Some(stale.clone()))
        .await;
    refused.refused_as(412, "BOOKS_CHANGED_MEANWHILE");
    let odd = mina
        .send(Method::PATCH, &path, &[("if-match", "yesterday")], Some(stale.clone()))
        .await;
    odd.refused_as(412, "PRECONDITION_UNREADABLE");
    bea.patch(&path, stale.clone()).await.refused_as(403, "BOOKS_NOT_YOURS");
    bea.delete(&path).await.refused_as(403, "BOOKS_NOT_YOURS");
    bea.post(&format!("{path}/publish"), Value::Null)
        .await
        .refused_as(403, "BOOKS_NOT_YOURS");
    juno.patch(&path, stale).await.refused_as(403, "NOT_ALLOWED");
    let again = mina.patch(&path, json!({ "title": "x" })).await.is(200);
    assert_eq!(
        again.json["version"], changed.json["version"],
        "a change that changes nothing is nothing"
    );
    mina.post(&format!("{path}/publish"), Value::Null)
        .await
        .refused_as(409, "BOOKS_ALREADY_PUBLISHED");

    // BK-14 and BK-25: out of the catalogue for everybody, still there for who bought it, as it was.
    let withdrawn = mina.delete(&path).await.is(200);
    assert!(!lists(
        &juno.get_after(&withdrawn, "/v1/books").await.is(200).items(),
        &book
    ));
    kim.get_after(&withdrawn, &path)
        .await
        .refused_as(404, "BOOKS_NO_SUCH_BOOK");
    kim.get(&format!("{path}/contents")).await.is(404);
    kim.post("/v1/purchases", json!({ "bookId": book }))
        .await
        .refused_as(404, "BOOKS_NO_SUCH_BOOK");
    mina.patch(&path, json!({ "title": "z" }))
        .await
        .refused_as(409, "BOOKS_WITHDRAWN");
    let library = juno.get("/v1/me/library").await.is(200).items();
    assert_eq!(
        (library.len(), &library[0]["title"], &library[0]["amount"]),
        (1, &json!("One"), &json!(900))
    );
    let kept = juno.get(&format!("{path}/contents")).await.is(200);
    assert_eq!(
        (kept.str("title").as_str(), kept.str("contents").as_str()),
        ("One", "First words.")
    );
    let own = mina.get_after(&withdrawn, "/v1/me/books").await.is(200).items();
    assert!(
        own.iter()
            .any(|row| row["bookId"] == book.as_str() && row["status"] == "WITHDRAWN"),
        "{own:?}"
    );
    // It comes back when its author wants it back.
    mina.post(&format!("{path}/publish"), Value::Null).await;
    house.ends_well().await;
}

#[tokio::test]
async fn odd_input_is_kept_as_text_or_refused_with_its_place() {
    let house = House::new().await;
    let mina = house.author("mina").await;

    // Everything that is text comes back as it was typed.
    for title in [
        "🐈‍⬛ 숲속의 고양이",
        "\"quoted\" 'twice' \\back\\",
        "<script>alert(1)</script>",
        "'); DROP TABLE books; --",
        "$book_id {{7*7}} %00 ../../etc/passwd",
        "\u{202e}thgir ot tfel",
    ] {
        let contents = format!("{title}\r\n\tsecond line\n\n{}", "긴 이야기 ".repeat(2000));
        let body = json!({ "title": title, "synopsis": title, "contents": contents });
        let book = mina.post("/v1/books", body).await.is(201);
        let path = format!("/v1/books/{}", book.id());
        let seen = mina.get_after(&book, &path).await.is(200);
        assert_eq!(
            (seen.str("title"), seen.str("synopsis")),
            (title.to_owned(), title.to_owned())
        );
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert_eq!(
            mina.get(&format!("{path}/contents")).await.is(200).str("contents"),
            contents
        );
    }

    // BK-15 and the rest: each with a pointer to what is wrong.
    let long = |count: usize| "가".repeat(count);
    for (pointer, body) in [
        ("/title", json!({ "title": "" })),
        ("/title", json!({ "title": "  \t" })),
        ("/title", json!({ "title": "two\nlines" })),
        ("/title", json!({ "title": "nul\u{0}" })),
        ("/title", json!({ "title": "bell\u{7}" })),
        ("/title", json!({ "title": long(201) })),
        ("/title", json!({ "title": 7 })),
        ("/synopsis", json!({ "title": "t", "synopsis": "nul\u{0}" })),
        ("/synopsis", json!({ "title": "t", "synopsis": long(2001) })),
        ("/contents", json!({ "title": "t", "contents": "esc\u{1b}[2J" })),
        ("/contents", json!({ "title": "t", "contents": long(100_001) })),
        ("/price", json!({ "title": "t", "price": -1 })),
        ("/price", json!({ "title": "t", "price": 1.5 })),
        ("/price", json!({ "title": "t", "price": 10_000_001 })),
        ("/price", json!({ "title": "t", "price": 1_u64 << 40 })),
        ("/pirce", json!({ "title": "t", "pirce": 1 })),
        ("", json!({ "price": 1 })),
    ] {
        let refused = mina.post("/v1/books", body.clone()).await;
        assert_eq!(
            (refused.status, refused.str("code").as_str()),
            (400, "VALIDATION"),
            "{pointer}: {}",
            refused.text
        );
        assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{}", refused.text);
        assert!(
            !refused.json["errors"][0]["detail"]
                .as_str()
                .unwrap_or_default()
                .is_empty()
        );
    }
    let longest = json!({ "title": long(200), "synopsis": long(2000), "contents": long(100_000) });
    mina.post("/v1/books", longest).await.is(201);

    // What is not a request at all.
    let raw = async |body: Vec<u8>, kind: &'static str| {
        let request = mina
            .request(Method::POST, "/v1/books")
            .header("content-type", kind)
            .body(body);
        read(request).await.expect("an answer")
    };
    raw(b"{\"title\":\"t\"}".to_vec(), "text/plain")
        .await
        .refused_as(415, "NOT_JSON");
    raw(b"{\"title\":".to_vec(), "application/json")
        .await
        .refused_as(400, "BAD_REQUEST");
    raw(b"{\"title\":\"\xff\xfe\"}".to_vec(), "application/json")
        .await
        .is(400);
    raw(b"{\"title\":\"t\"} {}".to_vec(), "application/json").await.is(400);
    raw(b"".to_vec(), "application/json").await.is(400);
    raw("[".repeat(100_000).into_bytes(), "application/json").await.is(400);
    raw(b"{\"title\":\"t\"}".to_vec(), "application/json; charset=utf-8")
        .await
        .is(201);
    let bare = read(mina.request(Method::POST, "/v1/books").body("{}"))
        .await
        .expect("an answer");
    bare.refused_as(415, "NOT_JSON");

    // Addresses that are none, and methods that are not known.
    for path in [
        "/",
        "/v1",
        "/v1/nothing",
        "/v1/books/",
        "/v1/books/not-an-id",
        "/v1/books/%00",
        "/v1/purchases/1",
    ] {
        mina.get(path).await.is(404);
    }
    for (method, path) in [
        (Method::PUT, "/v1/books"),
        (Method::DELETE, "/v1/books"),
        (Method::GET, "/v1/auth/login"),
        (Method::PATCH, "/v1/payments"),
    ] {
        let refused = mina
            .send(method, path, &[], None)
            .await
            .refused_as(405, "METHOD_NOT_ALLOWED");
        assert!(!refused.header("allow").unwrap_or_default().is_empty());
    }
    house.ends_well().await;
}

/// NF-41. The answer has to arrive: a door that closes while the client still writes is a broken pipe there.
#[tokio::test]
async fn a_body_of_two_megabytes_is_refused_with_an_answer() {
    let house = House::new().await;
    let mina = house.author("mina").await;
    // Whether the answer or the broken pipe is seen first is a race; once is no proof.
    let mut lost = Vec::new();
    for _ in 0..20 {
        let request = mina
            .request(Method::POST, "/v1/books")
            .header("content-type", "application/json");
        match read(request.body(vec![b' '; 2 << 20])).await {
            Ok(refused) => drop(refused.refused_as(413, "TOO_LARGE")),
            Err(error) => lost.push(format!("{error:?}")),
        }
    }
    assert!(lost.is_empty(), "{} of 20 got no answer: {}", lost.len(), lost[0]);
    house.ends_well().await;
}

#[tokio::test]
async fn an_administrator_takes_down_what_should_not_be_there_and_nobody_signs_up_as_one() {
    let house = House::with(&[("MARU_ADMIN_PASSWORD", PASSWORD)]).await;
    let mina = house.author("mina").await;
    let book = mina.publishes("Not for children", 100).await;
    let mut admin = house.stranger();
    admin.username = "admin".to_owned();
    let login = json!({ "username": "admin", "password": PASSWORD });
    eventually("the administrator is there", async || {
        (admin.post("/v1/auth/login", login.clone()).await.status == 200).then_some(())
    })
    .await;
    admin.log_in().await;
    let signup = json!({ "username": "boss", "password": PASSWORD, "nickname": "Boss", "role": "admin" });
    house
        .stranger()
        .post("/v1/auth/signup", signup)
        .await
        .refused_as(400, "VALIDATION");
    house
        .author("other")
        .await
        .delete(&format!("/v1/books/{book}"))
        .await
        .refused_as(403, "BOOKS_NOT_YOURS");
    let taken_down = admin.delete(&format!("/v1/books/{book}")).await.is(200);
    let listed = mina.get_after(&taken_down, "/v1/me/books").await.is(200);
    assert_eq!(listed.items()[0]["status"], "WITHDRAWN");
    // A second start finds the administrator there, and changes nothing.
    house.stop().await;
    house.start().await;
    admin.log_in().await;
    house.ends_well().await;
}
