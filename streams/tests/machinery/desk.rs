use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use maru_streams::desk::{self, Desk, DeskError};
use maru_streams::testing::{World, until};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Counting goes on until somebody has heard how far it is.
fn desk(heard: &Arc<Notify>) -> Desk {
    let heard = Arc::clone(heard);
    Desk::default()
        .answers("boxes.count", move |question, progress| {
            let heard = Arc::clone(&heard);
            async move {
                progress.say(json!({ "counted": 1 }));
                heard.notified().await;
                Ok(json!({ "boxes": question["shelves"].as_u64().unwrap_or_default() * 3 }))
            }
            .boxed()
        })
        .answers("boxes.open", |_, _| {
            async { Err(DeskError::NotThere("there is no such box".to_owned())) }.boxed()
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_by_whoever_runs_there_with_progress_on_the_way() {
    let world = World::new(&[]).await;
    let (stop, heard) = (CancellationToken::new(), Arc::new(Notify::new()));
    let nobody = desk::ask(&world.nats, "boxes.count", &json!({}), |_| {}).await;
    assert_eq!(nobody, Err(DeskError::Nobody));

    let open = tokio::spawn(desk(&heard).open(world.nats.clone(), stop.clone()));
    let mut words = Vec::new();
    let mut hear = |word| {
        words.push(word);
        heard.notify_one();
    };
    let asked = json!({ "shelves": 2 });
    let answer = loop {
        match desk::ask(&world.nats, "boxes.count", &asked, &mut hear).await {
            // The subscription is on its way.
            Err(DeskError::Nobody) => tokio::task::yield_now().await,
            answer => break answer,
        }
    };
    assert_eq!(answer, Ok(json!({ "boxes": 6 })));
    assert_eq!(words.first(), Some(&json!({ "counted": 1 })));

    let missing = desk::ask(&world.nats, "boxes.open", &json!({}), |_| {}).await;
    assert_eq!(missing, Err(DeskError::NotThere("there is no such box".to_owned())));
    let unknown = desk::ask(&world.nats, "boxes.burn", &json!({}), |_| {}).await;
    assert_eq!(unknown, Err(DeskError::Unknown("boxes.burn".to_owned())));
    stop.cancel();
    open.await.unwrap();
}

#[tokio::test]
async fn asking_in_the_same_process_says_the_same() {
    let heard = Arc::new(Notify::new());
    let desk = desk(&heard);
    let mut words = Vec::new();
    let hear = |word| {
        words.push(word);
        heard.notify_one();
    };
    let answer = desk.ask("boxes.count", json!({ "shelves": 1 }), hear).await;
    assert_eq!(answer, Ok(json!({ "boxes": 3 })));
    assert_eq!(words, [json!({ "counted": 1 })]);
    let unknown = desk.ask("boxes.burn", json!({}), |_| {}).await;
    assert_eq!(unknown, Err(DeskError::Unknown("boxes.burn".to_owned())));
}

/// Whoever asked may be gone; what works on an answer must not keep the database open beyond a stop.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_comes_ends_with_the_process() {
    let world = World::new(&[]).await;
    let stop = CancellationToken::new();
    let (begun, held) = (Arc::new(Notify::new()), Arc::new(()));
    let left = Arc::downgrade(&held);
    let begins = Arc::clone(&begun);
    let desk = Desk::default().answers("boxes.wait", move |_, _| {
        let (begins, held) = (Arc::clone(&begins), Arc::clone(&held));
        async move {
            begins.notify_one();
            std::future::pending::<()>().await;
            drop(held);
            Ok(json!({}))
        }
        .boxed()
    });
    let open = tokio::spawn(desk.open(world.nats.clone(), stop.clone()));
    let nats = world.nats.clone();
    let asker = tokio::spawn(async move {
        while desk::ask(&nats, "boxes.wait", &json!({}), |_| {}).await == Err(DeskError::Nobody) {
            // The subscription is on its way.
            tokio::task::yield_now().await;
        }
    });
    begun.notified().await;
    asker.abort();
    stop.cancel();
    open.await.unwrap();
    until("nothing of it is left", async || left.strong_count() == 0).await;
}

/// Whether somebody still works on it.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_waited_for_is_given_up_when_whoever_asked_has_left() {
    let world = World::new(&[]).await;
    let (stop, is_busy) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
    let busy = Arc::clone(&is_busy);
    let desk = Desk::default().answers("boxes.wait", move |_, _| {
        let busy = Busy(Arc::clone(&busy));
        async move {
            busy.0.store(true, Ordering::SeqCst);
            std::future::pending().await
        }
        .boxed()
    });
    let open = tokio::spawn(desk.open(world.nats.clone(), stop.clone()));
    let nats = world.nats.clone();
    let asking = tokio::spawn(async move {
        // The subscription is on its way.
        while let Err(DeskError::Nobody) = desk::ask(&nats, "boxes.wait", &json!({}), |_| {}).await {}
    });
    until("somebody waits", async || is_busy.load(Ordering::SeqCst)).await;
    asking.abort();
    until("nobody does any more", async || !is_busy.load(Ordering::SeqCst)).await;
    stop.cancel();
    open.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_no_message_can_hold_says_so() {
    let world = World::new(&[]).await;
    let stop = CancellationToken::new();
    let desk = Desk::default().answers("boxes.list", |_, _| async { Ok(json!("box ".repeat(3 << 20))) }.boxed());
    let open = tokio::spawn(desk.open(world.nats.clone(), stop.clone()));
    let answer = loop {
        match desk::ask(&world.nats, "boxes.list", &json!({}), |_| {}).await {
            Err(DeskError::Nobody) => tokio::task::yield_now().await,
            answer => break answer,
        }
    };
    assert!(
        matches!(&answer, Err(DeskError::Failed(why)) if why.contains("ask about less")),
        "{answer:?}"
    );
    stop.cancel();
    open.await.unwrap();
}
