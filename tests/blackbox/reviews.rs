//! What readers say.

use serde_json::{Value, json};

use crate::house::House;
use crate::person::Person;

const GOOD_CARD: &str = "4242 4242 4242 4242";

async fn shows(reader: &Person, book: &str, after: &crate::person::Reply) -> (Value, Value) {
    let seen = reader.get_after(after, &format!("/v1/books/{book}")).await.is(200);
    (seen.json["ratingAvg"].clone(), seen.json["reviewCount"].clone())
}

#[tokio::test]
async fn buyers_review_once_edit_and_take_back_and_the_average_follows() {
    let house = House::new().await;
    let mina = house.author("mina").await;
    let (juno, kim, lee) = (
        house.reader("juno").await,
        house.reader("kim").await,
        house.reader("lee").await,
    );
    let (book, other) = (mina.publishes("One", 100).await, mina.publishes("Two", 100).await);
    let path = format!("/v1/books/{book}/reviews");
    for buyer in [&juno, &kim] {
        buyer.buys(&book, GOOD_CARD, "COMPLETED").await;
        buyer.buys(&other, GOOD_CARD, "COMPLETED").await;
    }

    // BK-29: buyers only, in halves, once.
    let review = |rating: Value| json!({ "content": "<script>alert(1)</script> 재밌어요 🐳", "rating": rating });
    lee.post(&path, review(json!(4)))
        .await
        .refused_as(403, "REVIEWS_BUYERS_ONLY");
    house
        .stranger()
        .post(&path, review(json!(4)))
        .await
        .refused_as(401, "NOT_SIGNED_IN");
    for bad in [json!(6), json!(0), json!(-1), json!(4.25), json!("5"), Value::Null] {
        let refused = juno.post(&path, review(bad)).await.refused_as(400, "VALIDATION");
        assert_eq!(refused.json["errors"][0]["pointer"], "/rating", "{}", refused.text);
    }
    juno.post(&path, json!({ "content": " ", "rating": 4 }))
        .await
        .refused_as(400, "VALIDATION");
    let nowhere = "/v1/books/0197b9a0-0000-7000-8000-000000000000/reviews";
    juno.post(nowhere, review(json!(4)))
        .await
        .refused_as(404, "BOOKS_NO_SUCH_BOOK");

    // BK-27, BK-28: it is there, as text, with the mean, and only on its own book.
    let first = juno.post(&path, review(json!(4.5))).await.is(201);
    assert_eq!(shows(&lee, &book, &first).await, (json!(4.5), json!(1)));
    juno.post(&path, review(json!(1)))
        .await
        .refused_as(409, "REVIEWS_ALREADY_WRITTEN");
    let second = kim.post(&path, review(json!(2))).await.is(201);
    assert_eq!(shows(&lee, &book, &second).await, (json!(3.25), json!(2)));
    let listed = lee.get_after(&second, &path).await.is(200).items();
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[0]["by"]["nickname"], &listed[0]["rating"]),
        (&json!("kim"), &json!(2.0)),
        "newest first"
    );
    assert_eq!(listed[1]["content"], "<script>alert(1)</script> 재밌어요 🐳");
    assert!(
        lee.get_after(&second, &format!("/v1/books/{other}/reviews"))
            .await
            .is(200)
            .items()
            .is_empty()
    );
    let catalogue = lee.get_after(&second, "/v1/books").await.is(200).items();
    let row = catalogue
        .iter()
        .find(|row| row["bookId"] == book.as_str())
        .expect("the book");
    assert_eq!((&row["ratingAvg"], &row["reviewCount"]), (&json!(3.25), &json!(2)));

    // Edited by who wrote it, taken back by who wrote it, and written anew.
    let at = format!("/v1/reviews/{}", first.id());
    assert_eq!(first.header("location"), Some(at.as_str()));
    kim.patch(&at, json!({ "rating": 1 }))
        .await
        .refused_as(403, "REVIEWS_NOT_YOURS");
    kim.delete(&at).await.refused_as(403, "REVIEWS_NOT_YOURS");
    let edited = juno
        .patch(&at, json!({ "rating": 5, "content": "Better now." }))
        .await
        .is(200);
    assert_eq!(shows(&lee, &book, &edited).await, (json!(3.5), json!(2)));
    let listed = lee.get_after(&edited, &path).await.is(200).items();
    assert!(
        listed
            .iter()
            .any(|row| row["content"] == "Better now." && row["rating"] == 5.0),
        "{listed:?}"
    );
    juno.patch(&at, json!({ "rating": 9 }))
        .await
        .refused_as(400, "VALIDATION");
    let removed = juno.delete(&at).await.is(200);
    assert_eq!(shows(&lee, &book, &removed).await, (json!(2.0), json!(1)));
    juno.patch(&at, json!({ "rating": 1 }))
        .await
        .refused_as(404, "REVIEWS_NO_SUCH_REVIEW");
    let again = juno.post(&path, review(json!(0.5))).await.is(201);
    assert_eq!(
        (again.id(), shows(&lee, &book, &again).await),
        (first.id(), (json!(1.25), json!(2)))
    );
    let last = kim.delete(&format!("/v1/reviews/{}", second.id())).await.is(200);
    let last_of_all = juno.delete(&at).await.is(200);
    assert!(last_of_all.json["seq"].as_u64() > last.json["seq"].as_u64());
    assert_eq!(shows(&lee, &book, &last_of_all).await, (Value::Null, json!(0)));
    assert!(lee.get_after(&last_of_all, &path).await.is(200).items().is_empty());
    house.ends_well().await;
}
