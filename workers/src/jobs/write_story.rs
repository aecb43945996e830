//! Has the story of a book written.

use std::time::Duration;

use futures_util::FutureExt;
use maru_schemas::books::{Books, Command, WorkStatus};
use maru_schemas::ids::{BookId, JobId};
use maru_schemas::jobs::{FailureCode, Job};
use maru_streams::effects::Begun;
use maru_streams::intention::Intention;
use maru_streams::jobs::{Delivery, Policy, Verdict};

use super::{Kind, Outcome, Tools, ai_verdict, book, misplaced, tell};
use crate::ports::ai::StoryBrief;

/// The kind.
pub const KIND: Kind = Kind {
    name: "write_story",
    policy: Policy {
        concurrency: 4,
        // Longer than the provider may take; that has its own, shorter time.
        timeout: Duration::from_secs(300),
        retries: 3,
        first_retry: Duration::from_secs(1),
    },
    run: |tools, delivery, job| {
        async move {
            match job {
                Job::WriteStory { job, book } => run(tools, delivery, job, book).await,
                _ => Err(misplaced()),
            }
        }
        .boxed()
    },
    give_up,
};

async fn run(tools: &Tools, delivery: &Delivery, job: JobId, book_id: BookId) -> Outcome {
    let book = book(tools, book_id).await?;
    if book.story.job != Some(job) || book.story.status == WorkStatus::Ready {
        // Somebody asked anew meanwhile, or it is done: nobody waits for this one.
        return Ok(Vec::new());
    }
    let attempt = delivery.attempt;
    let start = Intention::command::<Books>(
        book_id,
        &Command::StartStory { job, attempt },
        format!("start/{attempt}"),
    );
    tell(tools, delivery, start).await?;
    let contents = match tools
        .effects
        .begin(job.0, "write_story")
        .await
        .map_err(Verdict::later)?
    {
        Begun::Before(contents) => contents,
        Begun::Now(effect) => {
            let brief = StoryBrief {
                title: book.title,
                synopsis: book.synopsis,
            };
            match tools.ai.write_story(&brief).await {
                Ok(contents) => {
                    tools.effects.done(&effect, &contents).await.map_err(Verdict::later)?;
                    contents
                }
                Err(error) => {
                    tools.effects.failed(&effect).await.map_err(Verdict::later)?;
                    return Err(ai_verdict(&error));
                }
            }
        }
    };
    let attach = Command::AttachStory { job, contents };
    Ok(vec![Intention::command::<Books>(book_id, &attach, "attach")])
}

fn give_up(delivery: &Delivery, job: Job, code: FailureCode) -> Vec<Intention> {
    let Job::WriteStory { job, book } = job else {
        return Vec::new();
    };
    let attempts = delivery.attempt;
    vec![Intention::command::<Books>(
        book,
        &Command::MarkStoryFailed { job, code, attempts },
        "failed",
    )]
}
