//! What became of a command, told from the streams and the database alone.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::books::{Books, Command, WorkStatus};
use maru_schemas::envelope::Actor;
use maru_schemas::ids::{self, BookId};
use maru_schemas::views::VIEWS;
use maru_streams::jobs::{Delivery, Handler, Lane, Reason, Verdict};
use maru_streams::testing::until;
use maru_streams::topology::DEAD;
use maru_streams::trace::{Node, Trace, TraceError, trace};
use uuid::Uuid;

use crate::house::{MINA, Village};

async fn follow(village: &Village, id: Uuid) -> Trace {
    trace(&village.world.nats, &village.world.store, id, &VIEWS)
        .await
        .unwrap()
}

fn all(node: &Node) -> Vec<&Node> {
    std::iter::once(node).chain(node.next.iter().flat_map(all)).collect()
}

fn of<'a>(trace: &'a Trace, kind: &str) -> &'a Node {
    let found = all(&trace.root).into_iter().find(|node| node.message.kind == kind);
    found.unwrap_or_else(|| unreachable!("{kind} is not in {trace:#?}"))
}

/// Asks for a story, and tells the command's id.
async fn wish(village: &Village, book: BookId, image: bool) -> Uuid {
    let wish = Command::RequestStory { synopsis: None, image };
    village.ask::<Books>(Actor::Member(MINA), book, "story", &wish).await;
    ids::named("test", &format!("{book} story"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_is_followed_to_its_image_from_any_id_on_the_way() {
    let village = Village::new(|lane| lane).await;
    let book = village.draft(1).await;
    let command = wish(&village, book, true).await;
    until("story and image are there", async || {
        let book = village.book(book).await;
        book.story.status == WorkStatus::Ready && book.painting.status == WorkStatus::Ready
    })
    .await;
    let mut whole = follow(&village, command).await;
    until("all of it is settled and seen", async || {
        whole = follow(&village, command).await;
        let is_over = |node: &&Node| matches!(node.fate.state, "done" | "published");
        all(&whole.root).iter().all(is_over) && whole.views.iter().all(|view| view.sees)
    })
    .await;
    assert_eq!(
        (whole.root.message.id, whole.request, whole.cut.len()),
        (command, command, 0)
    );
    assert_eq!(whole.actor, Actor::Member(MINA).to_string());
    // Each stands under what caused it.
    let mut node = &whole.root;
    for kind in [
        "story_requested",
        "write_story",
        "attach_story",
        "story_attached",
        "request_image",
    ] {
        let next = node.next.iter().find(|next| next.message.kind == kind);
        node = next.unwrap_or_else(|| unreachable!("{kind} does not follow from {node:#?}"));
    }
    for job in ["write_story", "paint_image"] {
        let effects = &of(&whole, job).fate.effects;
        assert!(
            effects.len() == 1 && effects[0].step == job && effects[0].status == "done",
            "{effects:?}"
        );
    }
    assert!(all(&whole.root).iter().all(|node| node.after_ms >= 0.0));
    // No words of the book are in it.
    let told = serde_json::to_string(&whole).unwrap();
    assert!(!told.contains("whale") && !told.contains("once upon a time"), "{told}");

    for kind in ["write_story", "story_attached", "attach_image"] {
        let from_there = follow(&village, of(&whole, kind).message.id).await;
        assert_eq!(from_there.root.message.id, command, "from {kind}");
        assert_eq!(all(&from_there.root).len(), all(&whole.root).len(), "from {kind}");
    }
    let stranger = trace(&village.world.nats, &village.world.store, Uuid::from_u128(404), &VIEWS).await;
    assert!(matches!(stranger, Err(TraceError::NotThere(_))));
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_and_a_job_that_waits_say_so() {
    let village = Village::without(&["write_story"], |lane| lane).await;
    let nobodys = BookId(Uuid::from_u128(9));
    let refused = follow(&village, wish(&village, nobodys, false).await).await;
    assert_eq!((refused.root.fate.state, refused.root.next.len()), ("refused", 0));
    assert_eq!(refused.root.fate.code.as_deref(), Some("BOOKS_NO_SUCH_BOOK"));

    let book = village.draft(1).await;
    let command = wish(&village, book, false).await;
    until("the job is there", async || {
        all(&follow(&village, command).await.root).len() == 3
    })
    .await;
    let waiting = follow(&village, command).await;
    assert_eq!(of(&waiting, "write_story").fate.state, "waiting");
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_says_which_flow_has_not_heard_it() {
    let mut village = Village::without(&["authoring"], |lane| lane).await;
    let book = village.draft(1).await;
    let command = wish(&village, book, false).await;
    until("the event is there", async || {
        all(&follow(&village, command).await.root).len() == 2
    })
    .await;
    let silent = follow(&village, command).await;
    assert_eq!(of(&silent, "story_requested").fate.waits_for, ["flow-authoring"]);
    village.comes_back("authoring");
    until("it is heard", async || {
        let heard = follow(&village, command).await;
        of(&heard, "story_requested").fate.waits_for.is_empty() && all(&heard.root).len() > 4
    })
    .await;
    village.ends_well().await;
}

/// Can never work.
struct Spoilt;

impl Handler for Spoilt {
    fn handle(self: Arc<Self>, _: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async { Verdict::Poison(Reason::new("spoilt", "on purpose")) }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_says_by_whom_and_why() {
    let village = Village::new(|mut lane: Lane| {
        if lane.name == "job-write_story" {
            lane.handler = Arc::new(Spoilt);
        }
        lane
    })
    .await;
    let book = village.draft(1).await;
    let command = wish(&village, book, false).await;
    until("it is given up", async || village.world.count(DEAD).await == 1).await;
    let dead = follow(&village, command).await;
    let job = of(&dead, "write_story");
    assert_eq!(job.fate.state, "dead");
    let letter = &job.fate.letters[0];
    assert_eq!(
        (letter.lane.as_str(), letter.reason.as_str()),
        ("job-write_story", "spoilt")
    );
}
