//! Everything that was ever asked is decided a second time, and a third, in a house where everything happens.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use maru_schemas::books::{Book, Books, Command as AskBook, Work};
use maru_schemas::envelope::Actor;
use maru_schemas::ids::{BookId, ImageId, JobId, ReviewId};
use maru_schemas::jobs::FailureCode;
use maru_schemas::message::{Contract, Message};
use maru_schemas::outcome::Outcome;
use maru_schemas::payments::{Command as AskPayment, Payments, TestCard};
use maru_schemas::purchases::{Command as AskPurchase, Purchases, Status};
use maru_schemas::reviews::{Command as AskReview, HalfStars, Reviews};
use maru_schemas::views::VIEWS;
use maru_schemas::{CONTEXTS, books, members, payments, purchases, reviews};
use maru_streams::heal::Mark;
use maru_streams::store::Store;
use maru_streams::subject::kind_of;
use maru_streams::tail;
use maru_streams::testing::loss::{Rows, by_database, everything, set};
use maru_streams::testing::{World, until};
use maru_streams::topology::{COMMANDS, EVENTS};
use maru_streams::views::mark;
use maru_workers::heal::heal;
use uuid::Uuid;

use crate::house::{JUNO, MINA, Village};

const MINE: Actor = Actor::Member(MINA);
const HERS: Actor = Actor::Member(JUNO);

/// The unit of work that a book waits for.
async fn unit(village: &Village, id: BookId, of: fn(Book) -> Work) -> JobId {
    of(village.book(id).await).job.unwrap()
}

/// A book whose story fails once and whose image fails once, and that is changed, published and withdrawn.
async fn a_books_life(village: &Village) -> BookId {
    let id = village.draft(1).await;
    let ask = async |actor, name: &str, command: AskBook| village.ask::<Books>(actor, id, name, &command).await;
    let request = |image| AskBook::RequestStory {
        synopsis: Some("About a star.".into()),
        image,
    };
    ask(MINE, "a whim", request(false)).await;
    ask(MINE, "no story", AskBook::CancelStory {}).await;
    ask(MINE, "a picture", AskBook::RequestImage {}).await;
    ask(MINE, "no picture", AskBook::CancelImage {}).await;
    ask(MINE, "story", request(false)).await;
    let job = unit(village, id, |book| book.story).await;
    ask(Actor::System, "begin", AskBook::StartStory { job, attempt: 1 }).await;
    let code = FailureCode::UnusableAnswer;
    ask(
        Actor::System,
        "fail",
        AskBook::MarkStoryFailed { job, code, attempts: 1 },
    )
    .await;
    ask(MINE, "story again", request(false)).await;
    let job = unit(village, id, |book| book.story).await;
    let contents = "Once upon a time there was a whale.".to_owned();
    ask(Actor::System, "written", AskBook::AttachStory { job, contents }).await;
    ask(MINE, "image", AskBook::RequestImage {}).await;
    let job = unit(village, id, |book| book.painting).await;
    ask(Actor::System, "paint", AskBook::StartImage { job, attempt: 1 }).await;
    ask(
        Actor::System,
        "no paint",
        AskBook::MarkImageFailed { job, code, attempts: 1 },
    )
    .await;
    ask(MINE, "image again", AskBook::RequestImage {}).await;
    let job = unit(village, id, |book| book.painting).await;
    let image = ImageId(Uuid::from_u128(77));
    ask(Actor::System, "painted", AskBook::AttachImage { job, image }).await;
    ask(MINE, "publish", AskBook::PublishBook {}).await;
    let edit = AskBook::EditBook {
        title: Some("The <b>star</b>".into()),
        synopsis: None,
        contents: None,
        price: Some(10),
        expected: None,
    };
    ask(HERS, "not hers", edit.clone()).await;
    ask(MINE, "edit", edit).await;
    id
}

/// Bought and given back, declined, charged in vain, too late, and a refund that fails.
async fn a_buyers_life(village: &Village, book: BookId) {
    let (id, _) = village.buy(book, "declined", TestCard::InsufficientFunds).await;
    village.becomes(id, Status::Rejected).await;
    village.buy(book, "in vain", TestCard::ChargedThenFails).await;
    let failed = village.becomes(id, Status::Rejected).await;
    village.buy(book, "bought", TestCard::Approved).await;
    let bought = village.becomes(id, Status::Completed).await;
    let payment = bought.payment.unwrap();
    let ask = async |actor, name: &str, command: AskPurchase| village.ask::<Purchases>(actor, id, name, &command).await;
    let late = failed.payment.unwrap();
    ask(
        Actor::System,
        "too late",
        AskPurchase::CompletePurchase { payment: late },
    )
    .await;
    ask(HERS, "refund", AskPurchase::RequestRefund {}).await;
    ask(Actor::System, "keep", AskPurchase::KeepPurchase { payment }).await;
    ask(HERS, "refund again", AskPurchase::RequestRefund {}).await;
    village
        .ask::<Payments>(Actor::System, payment, "given back", &AskPayment::RefundPayment {})
        .await;
    village.becomes(id, Status::Refunded).await;
}

async fn a_readers_life(village: &Village, book: BookId) {
    let id = ReviewId::of(JUNO, book);
    let ask = async |name: &str, command: AskReview| village.ask::<Reviews>(HERS, id, name, &command).await;
    let write = |bought| AskReview::WriteReview {
        member: JUNO,
        book,
        rating: HalfStars::from_stars(4.5).unwrap(),
        content: "Warm".into(),
        bought,
    };
    ask("not bought", write(false)).await;
    ask("review", write(true)).await;
    let edit = AskReview::EditReview {
        rating: None,
        content: Some("Warm, and funny".into()),
    };
    ask("edit", edit).await;
    ask("remove", AskReview::RemoveReview {}).await;
}

/// A house in which every kind of event has happened, and that has come to rest.
async fn a_whole_village() -> Village {
    a_whole_village_on(World::new(&[]).await).await
}

async fn a_whole_village_on(world: World) -> Village {
    let mut village = Village::on(world, &["write_story", "paint_image", "refund"], |lane| lane).await;
    let book = a_books_life(&village).await;
    a_buyers_life(&village, book).await;
    a_readers_life(&village, book).await;
    village
        .ask::<Books>(MINE, book, "withdraw", &AskBook::WithdrawBook {})
        .await;
    let heal = heal(&village.world.nats, &village.world.store);
    until("everything is settled and seen", async || {
        let newest = village.world.count(EVENTS).await;
        let marks = futures_util::future::join_all(VIEWS.map(|view| mark(&village.world.store, view))).await;
        let are_seen = marks.into_iter().all(|mark| mark.unwrap() == Some(newest));
        are_seen && heal.now().await.unwrap().commands >= village.world.count("COMMANDS").await
    })
    .await;
    village.rest().await;
    village
}

fn kinds<C: Contract>() -> impl Iterator<Item = String> {
    C::Event::KINDS.iter().map(|kind| kind_of(C::CONTEXT, kind))
}

fn asked<C: Contract>() -> impl Iterator<Item = String> {
    let kinds = C::Command::KINDS.iter();
    kinds.map(|kind| format!("cmd.{}.{kind}", C::CONTEXT))
}

/// The kinds of command that lie in the stream.
async fn sent(village: &Village) -> BTreeSet<String> {
    let stream = village
        .world
        .nats
        .jetstream()
        .get_stream_no_info(COMMANDS)
        .await
        .unwrap();
    let subjects = stream.info_with_subjects("cmd.>").await.unwrap();
    let kinds = subjects.map(|subject| subject.unwrap().0.split('.').take(3).collect::<Vec<_>>().join("."));
    kinds
        .filter(|kind| std::future::ready(!kind.ends_with(".canary")))
        .collect()
        .await
}

async fn recorded(village: &Village) -> BTreeSet<String> {
    let count = usize::try_from(village.world.count(EVENTS).await).unwrap();
    let events = tail::events(&village.world.nats, Some(0)).await.unwrap();
    events
        .take(count)
        .map(|event| event.unwrap().envelope.kind)
        .collect()
        .await
}

/// What owners and machinery keep and people see; not what stands for itself (the ledger, the bank's own
/// log), nor how a view went about it.
async fn rows(store: &Store) -> Rows {
    let mut rows = everything(store).await;
    let own = ["members_profile", "books_edition", "event", "inbox", "outbox"];
    rows.retain(|(table, _), _| {
        let table = table.as_str();
        CONTEXTS.contains(&table) || VIEWS.contains(&table) || own.contains(&table)
    });
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_command_decides_again_as_it_did() {
    let village = a_whole_village().await;
    let all: BTreeSet<String> = kinds::<members::Members>()
        .chain(kinds::<books::Books>())
        .chain(kinds::<payments::Payments>())
        .chain(kinds::<purchases::Purchases>())
        .chain(kinds::<reviews::Reviews>())
        .collect();
    assert_eq!(recorded(&village).await, all, "every kind of event has happened");
    let all: BTreeSet<String> = asked::<members::Members>()
        .chain(asked::<books::Books>())
        .chain(asked::<payments::Payments>())
        .chain(asked::<purchases::Purchases>())
        .chain(asked::<reviews::Reviews>())
        .collect();
    assert_eq!(sent(&village).await, all, "every kind of command was sent");
    // For an empty database everything is missing, so everything is decided, twice, and compared.
    let empty = Store::open("mem://", None).await.unwrap();
    let heal = heal(&village.world.nats, &empty);
    assert_eq!(
        heal.contexts().collect::<Vec<_>>(),
        CONTEXTS,
        "every context decides again"
    );
    let report = heal.look(Mark::default(), &|_| {}).await.unwrap();
    assert!(report.is_whole(), "{:?}", report.unhealable);
    assert_eq!(report.healed_events, village.world.count(EVENTS).await);
    assert_eq!(report.lost_outcomes, 0);
    assert!(
        report.healed_outcomes >= 2,
        "and what was refused is refused: {report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_whose_database_is_gone_is_the_same_after_healing() {
    let village = a_whole_village().await;
    let before = rows(&village.world.store).await;
    let store = Store::open("mem://", None).await.unwrap();
    let report = heal(&village.world.nats, &store)
        .mend(Mark::default(), &|_| {})
        .await
        .unwrap();
    assert!(report.is_whole());
    let views = village.views_on(&store);
    until("the views are built again", async || {
        let newest = village.world.count(EVENTS).await;
        let marks = futures_util::future::join_all(VIEWS.map(|view| mark(&store, view))).await;
        marks.into_iter().all(|mark| mark.unwrap() == Some(newest))
    })
    .await;
    views.stop().await;
    is_the_same(&before, rows(&store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_database_for_each_context_all_is_where_it_belongs_and_one_that_is_gone_comes_back() {
    let village = a_whole_village_on(World::divided(&CONTEXTS, &[]).await).await;
    let store = &village.world.store;
    let before = rows(store).await;
    let found = by_database(store).await;
    for (database, rows) in &found {
        for (table, key) in rows.keys() {
            let key: serde_json::Value = serde_json::from_str(key).unwrap();
            let context = match table.as_str() {
                "migration" | "room" | "lease" => continue,
                "inbox" | "event" | "outbox" => key[0].as_str(),
                table => table.split('_').next(),
            };
            let context = CONTEXTS.into_iter().find(|name| Some(*name) == context);
            assert_eq!(context.unwrap_or("main"), *database, "{table} {key}");
        }
    }
    for context in CONTEXTS {
        assert!(found[context].keys().any(|(table, _)| table == context), "{context}");
    }
    let of_books = ["books", "books_edition", "event", "inbox", "outbox"];
    let mut events = 0;
    for at in found["books"]
        .keys()
        .filter(|(table, _)| of_books.contains(&table.as_str()))
    {
        set(store, at, None).await;
        events += u64::from(at.0 == "event");
    }
    assert_ne!(rows(store).await, before);
    let heal = heal(&village.world.nats, store);
    let report = heal.mend(Mark::default(), &|_| {}).await.unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.missing_events, report.healed_events), (events, events));
    is_the_same(&before, rows(store).await);
}

fn is_the_same(before: &Rows, mut after: Rows) {
    for (at, row) in before {
        // A command that found nothing to do says the version of today, not the one of then.
        if at.0 == "inbox" && after.get(at).is_some_and(|now| is_idle(row) && is_idle(now)) {
            after.remove(at);
            continue;
        }
        assert_eq!(after.remove(at).as_ref(), Some(row), "{at:?}");
    }
    assert!(after.is_empty(), "nothing came that had not been: {after:?}");
}

fn is_idle(row: &serde_json::Value) -> bool {
    let outcome = serde_json::from_value::<Outcome>(row["outcome"].clone());
    matches!(outcome, Ok(Outcome::Done { seq: None, .. }))
}
