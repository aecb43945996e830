//! Stories that are seen while they are written, go on where they were cut off, and are called off.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::form::is_split;
use crate::house::{House, eventually, within};
use crate::listening::Listening;
use crate::person::Person;
use crate::provider::Answer::{Another, BreaksAfter, Good, Held, HeldAfter, InOnePiece, Status};
use crate::provider::Desks::{Chat, Images};
use crate::provider::{ANOTHER, FakeAi, STORY};

/// A crash leaves messages unsettled that come again after half a minute, more than once if it is unlucky.
const LONG: Duration = Duration::from_secs(100);
/// How much of the story there is when it is cut off.
const CUT: usize = 12;

async fn house(ai: &FakeAi, more: &[(&str, &str)]) -> House {
    let url = ai.url();
    House::with(&[&[("OPENAI_BASE_URL", url.as_str())], more].concat()).await
}

async fn asks(author: &Person, title: &str, wish: Value) -> String {
    let draft = json!({ "title": title, "synopsis": "SYNOPSISWORDS of a whale." });
    let book = author.post("/v1/books", draft).await.is(201).id();
    author.post(&format!("/v1/books/{book}/ai-draft"), wish).await.is(202);
    book
}

fn begun() -> String {
    STORY.chars().take(CUT).collect()
}

/// Somebody who reads a story while it is written.
#[derive(Default)]
struct Reader {
    text: String,
    last: Option<String>,
    restarts: usize,
}

impl Reader {
    /// Reads on until `enough`, or until the stream breaks; tells the last kind of event.
    async fn reads(&mut self, author: &Person, book: &str, enough: impl Fn(&Self, &str) -> bool) -> String {
        let path = format!("/v1/books/{book}/story");
        let mut story = Listening::open(author, &path, self.last.as_deref()).await;
        let mut kind = String::new();
        while let Some(event) = story.next().await {
            match event.kind.as_str() {
                "text" => self.text.push_str(event.data["text"].as_str().expect("words")),
                "restart" => {
                    self.restarts += 1;
                    self.text.clear();
                }
                _ => {}
            }
            self.last = Some(event.id);
            kind = event.kind;
            if enough(self, &kind) {
                break;
            }
        }
        kind
    }

    async fn reads_to_the_end(&mut self, author: &Person, book: &str) -> String {
        self.reads(author, book, |_, kind| matches!(kind, "done" | "failed" | "cancelled"))
            .await
    }

    async fn reads_the_beginning(&mut self, author: &Person, book: &str) {
        self.reads(author, book, |reader, _| reader.text == begun()).await;
        assert_eq!(self.text, begun());
    }
}

/// What the provider was told to have said already, request by request.
fn continued(ai: &FakeAi) -> Vec<Option<String>> {
    let said = |body: &Value| {
        let messages = body["messages"].as_array().cloned().unwrap_or_default();
        let said = messages.into_iter().find(|message| message["role"] == "assistant")?;
        Some(said["content"].as_str().unwrap_or_default().to_owned())
    };
    ai.asked(Chat).iter().map(|asked| said(&asked.body)).collect()
}

#[tokio::test]
async fn an_author_reads_the_story_while_it_is_written_and_nobody_else_does() {
    let ai = FakeAi::new().await;
    let house = house(&ai, &[]).await;
    let (mina, juno) = (house.author("mina").await, house.author("juno").await);
    ai.always(Chat, HeldAfter(CUT));
    let book = asks(&mina, "Read along", json!({ "image": false })).await;
    let path = format!("/v1/books/{book}/story");
    let mut reader = Reader::default();
    reader.reads_the_beginning(&mina, &book).await;

    // BK-11: one sees how far it is; the words are for the author alone.
    let seen = mina.get(&format!("/v1/books/{book}")).await.is(200).json;
    assert_eq!(
        (&seen["storyStatus"], &seen["storyAttempts"], &seen["storyCharacters"]),
        (&json!("GENERATING"), &json!(1), &json!(CUT))
    );
    juno.get(&path).await.refused_as(404, "BOOKS_NO_SUCH_BOOK");
    house.get(&path).await.refused_as(401, "NOT_SIGNED_IN");
    let odd = [("last-event-id", "yesterday")];
    mina.send(Method::GET, &path, &odd, None)
        .await
        .refused_as(400, "BAD_REQUEST");
    let published = mina.publishes("Other", 5).await;
    let other = format!("/v1/books/{published}/story");
    juno.get(&other).await.refused_as(403, "BOOKS_NOT_YOURS");
    mina.get(&other).await.refused_as(404, "NO_STORY");

    // Whoever comes back goes on where they were; whoever joins gets all of it.
    ai.release();
    assert_eq!(reader.reads_to_the_end(&mina, &book).await, "done");
    let mut late = Reader::default();
    assert_eq!(late.reads_to_the_end(&mina, &book).await, "done");
    assert_eq!((reader.text.as_str(), late.text.as_str()), (STORY, STORY));
    assert_eq!((reader.restarts, late.restarts), (0, 0));
    let seen = mina.sees_book(&book, "storyStatus", "READY").await;
    assert_eq!(
        (&seen["contents"], &seen["storyCharacters"]),
        (&json!(STORY), &Value::Null)
    );
    assert_eq!(ai.asked(Chat).len(), 1);
    house.ends_well().await;
    let log = house.log().join("\n");
    assert!(!log.contains("SYNOPSISWORDS") && !log.contains("작은 고래"), "{log}");
}

#[tokio::test]
async fn a_story_goes_on_where_a_kill_cut_it_off_and_is_not_paid_twice() {
    let ai = FakeAi::new().await;
    let house = house(&ai, &[]).await;
    let mina = house.author("mina").await;
    ai.then(Chat, &[HeldAfter(CUT), Good]);
    let book = asks(&mina, "Cut off", json!({})).await;
    let mut reader = Reader::default();
    reader.reads_the_beginning(&mina, &book).await;
    house.kill().await;
    house.start().await;

    // Before the worker is back, what there is is read by whoever joins.
    let mut late = Reader::default();
    late.reads_the_beginning(&mina, &book).await;
    let end = within(LONG, "the story is read to its end", async || {
        let kind = reader.reads(&mina, &book, |_, kind| kind == "done");
        let kind = tokio::time::timeout(Duration::from_secs(15), kind).await.ok()?;
        (kind == "done").then_some(kind)
    });
    assert_eq!(end.await, "done");
    assert_eq!((reader.text.as_str(), reader.restarts), (STORY, 0));
    let seen = mina.sees_book(&book, "storyStatus", "READY").await;
    assert_eq!(seen["contents"], STORY);
    mina.sees_book(&book, "imageStatus", "READY").await;
    assert_eq!(continued(&ai), [None, Some(begun())]);
    assert_eq!(ai.asked(Images).len(), 1);
    house.ends_well().await;
}

#[tokio::test]
async fn a_provider_that_cannot_go_on_begins_anew_and_readers_are_told() {
    let ai = FakeAi::new().await;
    let house = house(&ai, &[("MARU_STORY_CONTINUES", "false")]).await;
    let mina = house.author("mina").await;
    ai.then(Chat, &[BreaksAfter(CUT), Another]);
    let book = asks(&mina, "Anew", json!({ "image": false })).await;
    let mut reader = Reader::default();
    reader.reads_the_beginning(&mina, &book).await;
    ai.release();
    assert_eq!(reader.reads_to_the_end(&mina, &book).await, "done");
    assert_eq!((reader.text.as_str(), reader.restarts), (ANOTHER, 1));
    assert_eq!(continued(&ai), [None, None]);
    house.ends_well().await;
}

#[tokio::test]
async fn a_broken_connection_costs_an_attempt_and_not_the_words() {
    let ai = FakeAi::new().await;
    let house = house(&ai, &[]).await;
    let mina = house.author("mina").await;
    ai.release();
    // BK-08 with words in between; one that does not stream is as good.
    ai.then(Chat, &[BreaksAfter(CUT), Status(500), InOnePiece]);
    let book = asks(&mina, "Broken", json!({ "image": false })).await;
    let mut reader = Reader::default();
    assert_eq!(reader.reads_to_the_end(&mina, &book).await, "done");
    assert_eq!((reader.text.as_str(), reader.restarts), (STORY, 0));
    let seen = mina.sees_book(&book, "storyStatus", "READY").await;
    assert_eq!((&seen["contents"], &seen["storyAttempts"]), (&json!(STORY), &json!(3)));
    assert_eq!(continued(&ai), [None, Some(begun()), Some(begun())]);

    // A provider that will not be told what it said gets one more chance, from nothing.
    ai.then(Chat, &[BreaksAfter(CUT), Status(400), Good]);
    let book = asks(&mina, "Refused", json!({ "image": false })).await;
    let mut reader = Reader::default();
    assert_eq!(reader.reads_to_the_end(&mina, &book).await, "done");
    assert_eq!(reader.text, STORY);
    let asked = &continued(&ai)[3..];
    // Of several workers one may meet the provider for the first time: it takes its refusal for a word about
    // counting tokens, and asks the same without that.
    let without = is_split() && asked == [None, Some(begun()), Some(begun())];
    assert!(without || asked == [None, Some(begun()), None], "{asked:?}");

    // BK-09: given up is given up, and readers are told.
    ai.always(Chat, Status(400));
    let book = asks(&mina, "Never", json!({ "image": false })).await;
    assert_eq!(Reader::default().reads_to_the_end(&mina, &book).await, "failed");
    mina.sees_book(&book, "storyStatus", "FAILED").await;
    house.ends_well().await;
}

#[tokio::test]
async fn running_work_is_called_off_within_seconds_and_its_slot_is_free() {
    let ai = FakeAi::new().await;
    let house = house(&ai, &[]).await;
    let (mina, juno) = (house.author("mina").await, house.author("juno").await);
    ai.always(Chat, HeldAfter(CUT));
    ai.always(Images, Held);
    // As many as there are slots.
    let mut books = Vec::new();
    for nth in 0..4 {
        books.push(asks(&mina, &format!("Running {nth}"), json!({})).await);
    }
    let book = &books[0];
    let mut reader = Reader::default();
    reader.reads_the_beginning(&mina, book).await;
    mina.post(&format!("/v1/books/{book}/ai-image"), Value::Null)
        .await
        .is(202);
    eventually("both are asked", async || {
        (ai.asked(Chat).len() == 4 && ai.asked(Images).len() == 1).then_some(())
    })
    .await;
    let waiting = asks(&mina, "Waiting", json!({ "image": false })).await;

    let (story, image) = (
        format!("/v1/books/{book}/ai-draft/cancel"),
        format!("/v1/books/{book}/ai-image/cancel"),
    );
    juno.post(&story, Value::Null).await.refused_as(403, "BOOKS_NOT_YOURS");
    house
        .stranger()
        .post(&story, Value::Null)
        .await
        .refused_as(401, "NOT_SIGNED_IN");
    let called_off = mina.post(&story, Value::Null).await.is(200);
    mina.post(&image, Value::Null).await.is(200);
    let seen = mina
        .get_after(&called_off, &format!("/v1/books/{book}"))
        .await
        .is(200)
        .json;
    assert_eq!(
        (&seen["storyStatus"], &seen["storyAttempts"]),
        (&json!("NONE"), &json!(0))
    );
    mina.sees_book(book, "imageStatus", "NONE").await;
    assert_eq!(reader.reads_to_the_end(&mina, book).await, "cancelled");
    eventually("both calls are broken off", async || {
        (ai.broken_off() == 2).then_some(())
    })
    .await;
    // Its slot goes to the one that waited.
    eventually("the next one is asked for", async || {
        (ai.asked(Chat).len() == 5).then_some(())
    })
    .await;

    // Twice is once; afterwards both can be asked for anew, and the others were left in peace.
    mina.post(&story, Value::Null).await.is(200);
    ai.release();
    ai.always(Chat, Good);
    ai.always(Images, Good);
    mina.post(&format!("/v1/books/{book}/ai-draft"), json!({}))
        .await
        .is(202);
    for book in books.iter().chain([&waiting]) {
        let seen = mina.sees_book(book, "storyStatus", "READY").await;
        assert_eq!(seen["contents"], STORY);
    }
    mina.sees_book(book, "imageStatus", "READY").await;
    mina.post(&story, Value::Null)
        .await
        .refused_as(409, "BOOKS_STORY_ENDED");
    mina.post(&image, Value::Null)
        .await
        .refused_as(409, "BOOKS_IMAGE_ENDED");
    assert_eq!(ai.asked(Chat).len(), 6);
    house.ends_well().await;
}

#[tokio::test]
async fn waiting_work_that_is_called_off_is_never_begun() {
    let ai = FakeAi::new().await;
    let house = house(&ai, &[]).await;
    let mina = house.author("mina").await;
    ai.always(Chat, Held);
    for nth in 0..4 {
        asks(&mina, &format!("Running {nth}"), json!({ "image": false })).await;
    }
    eventually("every slot is taken", async || {
        (ai.asked(Chat).len() == 4).then_some(())
    })
    .await;
    let book = asks(&mina, "Waiting", json!({})).await;
    mina.post(&format!("/v1/books/{book}/ai-draft/cancel"), Value::Null)
        .await
        .is(200);
    ai.release();
    house.ends_well().await;
    let seen = mina.sees_book(&book, "storyStatus", "NONE").await;
    assert_eq!(seen["imageStatus"], "NONE");
    assert_eq!((ai.asked(Chat).len(), ai.asked(Images).len()), (4, 0));
}

#[tokio::test]
async fn attempts_go_on_being_counted_behind_a_kill_and_a_repeat_asks_nobody_anew() {
    let ai = FakeAi::new().await;
    let house = house(&ai, &[]).await;
    let mina = house.author("mina").await;
    // BK-08: the second try is killed, which is nobody's failure; the third of four requests fails.
    ai.then(Chat, &[Status(500), HeldAfter(CUT), Status(502), Good]);
    let draft = json!({ "title": "Counted", "synopsis": "A star." });
    let book = mina.post("/v1/books", draft).await.is(201).id();
    let (wish, key) = (format!("/v1/books/{book}/ai-draft"), [("idempotency-key", "the-same")]);
    let body = Some(json!({ "image": false }));
    mina.send(Method::POST, &wish, &key, body.clone()).await.is(202);
    let mut reader = Reader::default();
    reader.reads_the_beginning(&mina, &book).await;
    house.kill().await;
    house.start().await;

    // BK-11: it is seen to be under way all the time. BK-10: the same once more is the same.
    let seen = mina.sees_book(&book, "storyStatus", "GENERATING").await;
    assert_eq!(
        (&seen["storyAttempts"], &seen["storyCharacters"]),
        (&json!(2), &json!(CUT))
    );
    let again = mina.send(Method::POST, &wish, &key, body.clone()).await.is(202);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let path = format!("/v1/books/{book}");
    let ready = within(LONG, "the story is there", async || {
        let seen = mina.get(&path).await.is(200).json;
        (seen["storyStatus"] == "READY").then_some(seen)
    });
    let seen = ready.await;
    assert_eq!((&seen["contents"], &seen["storyAttempts"]), (&json!(STORY), &json!(3)));
    assert_eq!(continued(&ai), [None, None, Some(begun()), Some(begun())]);
    mina.send(Method::POST, &wish, &key, body).await.is(202);
    house.ends_well().await;
    assert_eq!(ai.asked(Chat).len(), 4);
}

#[tokio::test]
async fn a_story_that_is_given_up_behind_a_kill_is_seen_to_be_and_can_be_asked_for_anew() {
    let ai = FakeAi::new().await;
    let house = house(&ai, &[]).await;
    let mina = house.author("mina").await;
    ai.then(Chat, &[HeldAfter(CUT)]);
    let book = asks(&mina, "Given up", json!({ "image": false })).await;
    let mut reader = Reader::default();
    reader.reads_the_beginning(&mina, &book).await;
    house.kill().await;
    // BK-09: from now on it always fails.
    ai.always(Chat, Status(500));
    house.start().await;
    let path = format!("/v1/books/{book}");
    let failed = within(LONG, "the story is given up", async || {
        let seen = mina.get(&path).await.is(200).json;
        (seen["storyStatus"] == "FAILED").then_some(seen)
    });
    let seen = failed.await;
    assert_eq!(
        (&seen["storyFailure"], &seen["storyAttempts"]),
        (&json!("PROVIDER_UNAVAILABLE"), &json!(4))
    );
    assert_eq!(ai.asked(Chat).len(), 5, "the killed one, and four");
    assert_eq!(reader.reads_to_the_end(&mina, &book).await, "failed");
    ai.always(Chat, Good);
    mina.post(&format!("/v1/books/{book}/ai-draft"), json!({ "image": false }))
        .await
        .is(202);
    assert_eq!(reader.reads_to_the_end(&mina, &book).await, "done");
    assert_eq!(reader.text, STORY);
    assert_eq!(continued(&ai)[5..], [None]);
    house.settles().await;
    assert_eq!(house.streams().await.messages["DEAD"], 1);
}
