//! What becomes of a message at its first word: done, refused, parked, or not readable at all.

use std::sync::{Arc, Mutex};

use maru_schemas::envelope::Envelope;
use maru_schemas::jobs::Job;

use super::script::{envelope, id, message, scripted};
use super::{Backend, GRACE, POLICY, Process, publish, reasons, settled, soon};
use crate::jobs::{Reason, Verdict};
use crate::publish::Outgoing;
use crate::subject::Subject;

/// Done and done before are both the end of it.
pub async fn a_message_is_handled_once_and_settled<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted(|call| async move {
        match call.n % 2 {
            0 => Verdict::Done,
            _ => Verdict::Already,
        }
    });
    let process = backend.start(POLICY, handler).await;
    publish(&backend, 0..50).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), (0..50).map(|n| (n, 1)).collect());
    assert_eq!(reasons(&backend).await, []);
}

/// Also when the first one is settled already.
pub async fn a_repeat_of_an_id_is_the_same_message<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted(|_| async { Verdict::Done });
    let first = backend.publish(message(1)).await;
    let again = backend.publish(message(1)).await;
    assert!(!first.already && again.already);
    assert_eq!(first.seq, again.seq);
    let process = backend.start(POLICY, handler).await;
    settled(&backend).await;
    assert!(backend.publish(message(1)).await.already);
    publish(&backend, [2]).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), [(1, 1), (2, 1)].into());
}

/// Whoever asked was told; there is nothing to repair, and nobody to tell.
pub async fn a_refusal_settles_and_leaves_no_letter<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted(|_| async { Verdict::Refuse(Reason::new("too_late", "it is over")) });
    let process = backend.start(POLICY, handler).await;
    publish(&backend, [1]).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.total(), 1);
    assert!(seen.given_up().is_empty());
    assert_eq!(reasons(&backend).await, []);
}

/// It is not tried again, and whoever waits is told.
pub async fn poison_is_parked_at_once_with_its_reason<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted(|_| async { Verdict::Poison(Reason::new("nonsense", "one\r\ntwo")) });
    let process = backend.start(POLICY, handler).await;
    publish(&backend, [7]).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.total(), 1);
    assert_eq!(seen.given_up(), [7]);
    let letters = backend.letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].reason.as_str(), letters[0].attempts), ("nonsense", 1));
    assert_eq!(letters[0].subject, message(7).subject);
}

/// A kind that another build may know is told apart from a body that nobody can read; and a message
/// without its envelope never reaches the handler.
pub async fn what_cannot_be_read_is_parked_with_why_and_the_worker_lives<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted(|call| async move {
        match call.delivery.decode::<Job>() {
            Ok(_) => Verdict::Done,
            Err(verdict) => verdict,
        }
    });
    let process = backend.start(POLICY, handler).await;
    let raw = |n, kind, body: &'static str| Outgoing {
        subject: Subject::Job { kind, id: id(n) }.to_string(),
        body: body.into(),
        ..message(n)
    };
    backend.publish(raw(1, "charge", "{ not json")).await;
    backend.publish(raw(2, "fly", r#"{"kind":"fly"}"#)).await;
    backend
        .publish(raw(3, "charge", r#"{"kind":"charge","data":{}}"#))
        .await;
    let mut headless = message(4);
    headless.headers.retain(|(name, _)| *name != "maru-actor");
    backend.publish(headless).await;
    backend
        .publish(Outgoing {
            headers: Vec::new(),
            ..message(5)
        })
        .await;
    publish(&backend, [6]).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    let expected = [
        (1, "undecodable"),
        (2, "unknown_kind"),
        (3, "undecodable"),
        (4, "undecodable"),
        (5, "undecodable"),
    ];
    assert_eq!(
        reasons(&backend).await,
        expected.map(|(n, reason)| (n, reason.to_owned()))
    );
    assert_eq!(seen.counts(), [(1, 1), (2, 1), (3, 1), (6, 1)].into());
}

/// All of it: trace, correlation and causation are what a chain of causes hangs on.
pub async fn the_envelope_arrives_as_it_was_sent<B: Backend>() {
    let sent = Envelope {
        correlation: id(41),
        causation: Some(id(42)),
        version: Some(3),
        fingerprint: Some("f".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..envelope(1)
    };
    let backend = B::make().await;
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let arriving = Arc::clone(&arrived);
    let (handler, _) = scripted(move |call| {
        let nth = call.nth;
        arriving.lock().expect("no panic").push(call.delivery.envelope.clone());
        async move { if nth == 1 { super::no_luck() } else { Verdict::Done } }
    });
    let process = backend.start(POLICY, handler).await;
    let plain = message(1);
    backend
        .publish(Outgoing {
            headers: sent.headers(),
            ..plain
        })
        .await;
    soon("it ran and failed and ran", async || backend.unsettled().await == 0).await;
    process.stop(GRACE).await;
    assert_eq!(*arrived.lock().expect("no panic"), [sent.clone(), sent]);
}
