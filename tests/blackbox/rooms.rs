//! A context with a database of its own: the whole story goes through both, what is away takes only its own
//! context with it, and a backup holds all of them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, PASSWORD};
use crate::split::{allow_outages, comes_back, is_done, soon, takes_work};

const CARD: &str = "4242 4242 4242 4242";
const DATABASE: &str = "database of books";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
#[cfg_attr(
    not(feature = "database"),
    ignore = "without the database server's library there is nothing to split off"
)]
async fn books_have_a_database_of_their_own_and_only_they_go_with_it() {
    let house = House::divided(&["books"]).await;
    allow_outages(&house);
    let (mina, juno) = (house.author("mina").await, house.reader("juno").await);
    let sold = mina.publishes("Sold", 10).await;
    let bought = juno.buys(&sold, CARD, "COMPLETED").await;
    let purchase = bought["id"].as_str().expect("an id").to_owned();
    let contents = format!("/v1/books/{sold}/contents");
    juno.get(&contents).await.is(200);

    house.process(DATABASE).kill();
    let mut taken = Vec::new();
    for round in 0..2 {
        // What is about books is taken in, or put off.
        let new = json!({ "title": format!("Meanwhile {round}"), "price": 10 });
        let reply = soon(&mina, Method::POST, "/v1/books", &[("prefer", "wait=1")], Some(new)).await;
        taken.push(reply.is(202));
        let put_off = soon(&juno, Method::GET, &contents, &[], None).await;
        put_off.refused_as(503, "UNAVAILABLE");
        let order = json!({ "bookId": sold });
        let put_off = soon(&juno, Method::POST, "/v1/purchases", &[], Some(order)).await;
        put_off.refused_as(503, "UNAVAILABLE");
        // What is not goes on: people come, log in, and look at lists.
        let mut newcomer = house.stranger();
        newcomer.sign_up(&format!("newcomer{round}"), "reader").await.is(201);
        newcomer.log_in().await;
        let login = json!({ "username": "mina", "password": PASSWORD });
        soon(&mina, Method::POST, "/v1/auth/login", &[], Some(login))
            .await
            .is(200);
        for path in ["/v1/books", "/v1/me/library", "/v1/payments"] {
            soon(&juno, Method::GET, path, &[], None).await.is(200);
        }
    }
    let refund = juno
        .post(&format!("/v1/purchases/{purchase}/refund"), Value::Null)
        .await;
    is_done(&juno, &refund.is(202)).await;
    assert!(takes_work(&house).await, "a database that is away takes no process out");
    soon(&mina, Method::GET, "/readyz", &[], None)
        .await
        .refused_as(503, "UNAVAILABLE");
    let examined = house.operator(&["doctor", "--json"], &[]).await;
    assert_eq!(examined.status.code(), Some(1), "{}", text(&examined.stderr));
    let said = text(&examined.stdout);
    assert!(said.contains("books: the database of books is away"), "{said}");

    house.start_one(DATABASE);
    comes_back(&juno, "/readyz").await;
    for reply in &taken {
        is_done(&mina, reply).await;
    }
    juno.sees_purchase(&purchase, "REFUNDED").await;
    juno.get(&contents).await.refused_as(402, "NOT_PAID");
    crate::house::eventually("the author's list has them all", async || {
        let mine = mina.get("/v1/me/books?limit=100").await;
        (mine.status == 200 && mine.items().len() == 1 + taken.len()).then_some(())
    })
    .await;
    let letters = house.streams().await.messages.get("DEAD").copied();
    assert_eq!(letters, Some(0), "nothing was given up");
    assert_eq!(house.metric("maru_lane_breaker", &[]).await, 0.0, "no breaker opened");
    house.ends_well().await;
    assert!(house.stop().await.success());
}

#[tokio::test]
#[cfg_attr(
    not(feature = "database"),
    ignore = "without the database server's library there is nothing to split off"
)]
async fn a_backup_holds_every_database_and_is_restored_into_as_many() {
    let house = House::divided(&["books"]).await;
    let (mut mina, mut juno) = (house.author("mina").await, house.reader("juno").await);
    let sold = mina.publishes("Sold", 10).await;
    juno.buys(&sold, CARD, "COMPLETED").await;
    house.settles().await;
    let shelf = tempfile::tempdir().expect("a folder");
    let to = shelf.path().display().to_string();
    let taken = house.operator(&["backup", "--json", "--to", &to], &[]).await;
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    let taken: Value = serde_json::from_slice(&taken.stdout).expect("a manifest");
    let (manifest, from) = (&taken["manifest"], taken["folder"].as_str().expect("a folder"));
    assert_eq!(
        manifest["format"], 2,
        "a build that knows one database only does not read it"
    );
    assert_eq!(manifest["apart"][0]["context"], "books");
    assert_eq!(manifest["apart"][0]["file"]["name"], "database-books.surql");

    // Everything is lost but the keys.
    assert!(house.stop().await.success());
    let site = house.site.as_ref().expect("the split form");
    let (_, _, books) = &site.own[0];
    for folder in [house.data().join("db"), house.data().join("nats"), books.clone()] {
        std::fs::remove_dir_all(folder).expect("away with it");
    }
    house.servers.start().await;
    for database in ["database", DATABASE] {
        house.start_one(database);
        house.is_ready(house.process(database)).await;
    }
    let restoring = ["restore", "--json", "--from", from];
    let refused = house.operator(&restoring, &["MARU_DB_URL_BOOKS"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let why = text(&refused.stderr);
    assert!(
        why.contains("a database of its own for books") && why.contains("one database for everything"),
        "{why}"
    );
    let restored = house.operator(&restoring, &[]).await;
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    house.start().await;
    for person in [&mut mina, &mut juno] {
        person.log_in().await;
    }
    juno.get(&format!("/v1/books/{sold}/contents")).await.is(200);
    let another = mina.publishes("And on it goes", 10).await;
    juno.buys(&another, CARD, "COMPLETED").await;
    house.ends_well().await;
    assert!(house.stop().await.success());

    // Nobody starts who was told otherwise.
    house.servers.start().await;
    for database in ["database", DATABASE] {
        house.start_one(database);
        house.is_ready(house.process(database)).await;
    }
    let healing = house.operator(&["heal"], &["MARU_DB_URL_BOOKS"]).await;
    let why = text(&healing.stderr);
    assert!(
        why.contains("was made for everything but books, and is opened for everything"),
        "{why}"
    );
}

#[tokio::test]
async fn a_database_for_a_context_that_is_not_there_or_beside_maru_up_is_refused() {
    let refused = async |arguments: &[&str], name: &str| {
        let mut command = crate::process::maru();
        command
            .args(arguments)
            .env(name, "ws://127.0.0.1:1")
            .stderr(std::process::Stdio::piped());
        let ended = tokio::process::Command::from(command).output().await.expect("run maru");
        assert_eq!(ended.status.code(), Some(1), "{}", text(&ended.stderr));
        text(&ended.stderr)
    };
    let metrics = format!("127.0.0.1:{}", crate::process::free_port());
    let why = refused(&["workers", "--metrics", &metrics], "MARU_DB_URL_BOOK").await;
    assert!(
        why.contains("MARU_DB_URL_BOOK is set, and there is no such context"),
        "{why}"
    );
    assert!(why.contains("MARU_DB_URL_BOOKS, MARU_DB_URL_PAYMENTS"), "{why}");
    let why = refused(&["up"], "MARU_DB_URL_PAYMENTS").await;
    assert!(
        why.contains("MARU_DB_URL_PAYMENTS is set, and an installation in a data folder has one database"),
        "{why}"
    );
}
