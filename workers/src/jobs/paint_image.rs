//! Has the image of a book painted and keeps it in our own object store.

use std::time::Duration;

use futures_util::FutureExt;
use maru_schemas::books::{Book, Books, Command, WorkStatus};
use maru_schemas::ids::{self, BookId, ImageId, JobId};
use maru_schemas::jobs::{FailureCode, Job};
use maru_streams::effects::Begun;
use maru_streams::intention::Intention;
use maru_streams::jobs::{Delivery, Policy, Rate, Verdict};

use super::{Kind, Outcome, Tools, ai_verdict, book, called_off, misplaced, tell};
use crate::ports::ai::ImageBrief;

/// The kind.
pub const KIND: Kind = Kind {
    name: "paint_image",
    policy: Policy {
        concurrency: 4,
        across: Some(16),
        rate: Some(Rate::new(10, 240)),
        metered: true,
        // Longer than the provider may take; that has its own, shorter time.
        timeout: Duration::from_secs(300),
        fair: true,
        ..Policy::OUTSIDE
    },
    run: |tools, delivery, job| {
        async move {
            match job {
                Job::PaintImage { job, book } => run(tools, delivery, job, book).await,
                _ => Err(misplaced()),
            }
        }
        .boxed()
    },
    give_up,
};

fn waits(book: &Book, job: JobId) -> bool {
    book.painting.job == Some(job) && book.painting.status != WorkStatus::Ready
}

async fn run(tools: &Tools, delivery: &Delivery, job: JobId, book_id: BookId) -> Outcome {
    let book = book(tools, book_id).await?;
    if !waits(&book, job) {
        // It was called off, or asked for anew, or it is done.
        return Ok(Vec::new());
    }
    let attempt = delivery.attempt;
    let start = Intention::command::<Books>(
        book_id,
        &Command::StartImage { job, attempt },
        format!("start/{attempt}"),
    );
    tell(tools, delivery, start).await?;
    let image = match tools
        .effects
        .begin(job.0, "paint_image")
        .await
        .map_err(Verdict::later)?
    {
        Begun::Before(image) => image,
        Begun::Now(effect) => {
            let brief = ImageBrief {
                about: if book.contents.is_empty() {
                    book.synopsis
                } else {
                    book.contents
                },
                title: book.title,
            };
            let painted = tokio::select! {
                painted = tools.ai.paint_image(&brief) => painted,
                () = called_off(tools, book_id, |book| waits(book, job)) => {
                    tools.effects.cancelled(&effect).await.map_err(Verdict::later)?;
                    return Ok(Vec::new());
                }
            };
            match painted {
                Ok(bytes) => {
                    let image = ImageId(ids::derive(job.0, "image"));
                    // Stored before it is noted: what the ledger calls done can be read.
                    tools
                        .images
                        .put(&image.to_string(), book_id.0, &bytes)
                        .await
                        .map_err(Verdict::later)?;
                    tools.effects.done(&effect, &image).await.map_err(Verdict::later)?;
                    image
                }
                Err(error) => {
                    tools.effects.failed(&effect).await.map_err(Verdict::later)?;
                    return Err(ai_verdict(&error));
                }
            }
        }
    };
    Ok(vec![Intention::command::<Books>(
        book_id,
        &Command::AttachImage { job, image },
        "attach",
    )])
}

fn give_up(delivery: &Delivery, job: Job, code: FailureCode) -> Vec<Intention> {
    let Job::PaintImage { job, book } = job else {
        return Vec::new();
    };
    let attempts = delivery.attempt;
    vec![Intention::command::<Books>(
        book,
        &Command::MarkImageFailed { job, code, attempts },
        "failed",
    )]
}
