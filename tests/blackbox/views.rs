//! Views built again while people read and write, as an operator does it.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, PASSWORD, eventually};

/// `maru views …` on the house's data folder.
async fn views(house: &House, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maru"));
    command
        .arg("views")
        .args(arguments)
        .arg("--json")
        .arg("--data")
        .arg(house.data());
    command.env_remove("NATS_URL");
    tokio::task::spawn_blocking(move || command.output().expect("maru views"))
        .await
        .expect("maru views")
}

fn said(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test]
async fn every_view_is_built_again_and_swapped_while_people_read_and_write() {
    let house = House::with(&[("MARU_ADMIN_PASSWORD", PASSWORD)]).await;
    let (mina, juno) = (house.author("mina").await, house.reader("juno").await);
    mina.publishes("The first", 0).await;
    let is_over = AtomicBool::new(false);
    let busy = async {
        let mut books = 1;
        while !is_over.load(Ordering::SeqCst) {
            let made = mina.post("/v1/books", json!({ "title": "One more" })).await.is(201);
            mina.get_after(&made, &format!("/v1/books/{}", made.id())).await.is(200);
            let mine = mina.get_after(&made, "/v1/me/books?limit=100").await.is(200);
            books += 1;
            assert_eq!(mine.items().len(), books, "what was written is seen at once");
            assert_eq!(
                juno.get("/v1/books").await.is(200).items().len(),
                1,
                "the catalogue is never empty"
            );
            assert!(books < 90, "a page holds no more");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let operator = async {
        let built = said(&views(&house, &["rebuild", "--all", "--swap"]).await);
        is_over.store(true, Ordering::SeqCst);
        built
    };
    let (built, ()) = tokio::join!(operator, busy);
    let built = built["views"].as_array().expect("views").clone();
    assert_eq!(built.len(), 6);
    for stands in &built {
        assert_eq!(stands["read"]["colour"], "green", "{stands}");
        assert_eq!(stands["compared"]["differing"], 0, "{stands}");
    }
    said(&views(&house, &["swap", "book_home"]).await);
    said(&views(&house, &["drop", "book_home"]).await);
    let status = said(&views(&house, &["status", "book_home"]).await);
    let home = &status["views"][0];
    assert_eq!(
        (&home["read"]["colour"], &home["read"]["rows"], &home["other"]),
        (&json!("blue"), &json!(1), &Value::Null)
    );
    assert_eq!(juno.get("/v1/books").await.is(200).items().len(), 1);
    let unknown = views(&house, &["swap", "nothing"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("there are book_home"),
        "{unknown:?}"
    );
    assert_eq!(views(&house, &["rebuild"]).await.status.code(), Some(2));

    // The same over HTTP, for administrators alone.
    mina.get("/v1/ops/views").await.refused_as(403, "NOT_ALLOWED");
    let mut admin = house.stranger();
    admin.username = "admin".to_owned();
    eventually("the administrator is there", async || {
        let body = json!({ "username": "admin", "password": PASSWORD });
        (house.stranger().post("/v1/auth/login", body).await.status == 200).then_some(())
    })
    .await;
    admin.log_in().await;
    admin
        .send(Method::POST, "/v1/ops/views/book_home/swap", &[], None)
        .await
        .refused_as(409, "NOT_NOW");
    admin
        .send(Method::POST, "/v1/ops/views/nothing/rebuild", &[], None)
        .await
        .refused_as(404, "NOT_THERE");
    admin
        .send(Method::POST, "/v1/ops/views/book_home/rebuild?swap=true", &[], None)
        .await
        .is(202);
    eventually("the catalogue is swapped", async || {
        let all = admin.get("/v1/ops/views").await.is(200);
        (all.json["views"][0]["read"]["colour"] == "green").then_some(())
    })
    .await;
    admin
        .send(Method::POST, "/v1/ops/views/book_home/drop", &[], None)
        .await
        .is(202);
    assert_eq!(juno.get("/v1/books").await.is(200).items().len(), 1);
    assert_eq!(house.metric("maru_view_waiting", &[]).await, 0.0);

    // And where nothing runs: the command opens what is there, does it, and closes it again.
    house.stop().await;
    let built = said(&views(&house, &["rebuild", "book_detail", "--swap"]).await);
    assert_eq!(built["views"][0]["read"]["colour"], "blue", "{built}");
    house.start().await;
    mina.get("/v1/me/books").await;
    house.ends_well().await;
}
