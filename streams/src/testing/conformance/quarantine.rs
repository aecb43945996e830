//! A message that takes its whole process down each time.

use std::future::pending;

use super::script::scripted;
use super::{Backend, GRACE, POLICY, Process, publish, reasons, soon};
use crate::jobs::Verdict;

/// It is found out by running it alone, and those who happened to be in the same processes are not blamed.
pub async fn a_message_that_ends_its_process_is_parked_and_its_neighbours_live<B: Backend>() {
    const KILLER: u128 = 13;
    let backend = B::make().await;
    backend.be_impatient().await;
    let (handler, seen) = scripted(|call| async move {
        match (call.n, call.nth) {
            // Its process is ended from outside as soon as it runs.
            (KILLER, _) => pending().await,
            // They are busy whenever that happens in company.
            (_, ..=3) => pending().await,
            _ => Verdict::Done,
        }
    });
    publish(&backend, [1, 2, KILLER]).await;
    let mut process = backend.start(POLICY, handler.clone()).await;
    // A lane that never finds out would go on for ever.
    for nth in 1..=8 {
        super::super::until("it runs, or is parked", async || {
            seen.of(KILLER).len() == nth && (nth > 3 || seen.running() == 3) || !backend.letters().await.is_empty()
        })
        .await;
        if !backend.letters().await.is_empty() {
            break;
        }
        // What the others have finished is known to the server, or it would go down with this process and come again.
        soon("what is finished is settled", async || {
            let finished = [1, 2].iter().filter(|n| seen.of(**n).len() == 4).count() as u64;
            backend.unsettled().await <= 3 - finished
        })
        .await;
        process.end();
        soon("nothing runs any more", async || seen.running() == 0).await;
        process = backend.start(POLICY, handler.clone()).await;
    }
    super::super::until("the others are done", async || backend.unsettled().await == 0).await;
    process.stop(GRACE).await;
    assert_eq!(reasons(&backend).await, [(KILLER, "ended_its_process".to_owned())]);
    assert_eq!(seen.given_up(), [KILLER], "whoever waits for it is told");
    let runs = seen.of(KILLER);
    assert_eq!(runs.len(), 4, "three in company, one alone");
    assert_eq!(runs[3].beside, 0, "the last one had nobody beside it");
    for n in [1, 2] {
        assert_eq!(seen.of(n).len(), 4, "{n} ran until it could finish");
    }
}
