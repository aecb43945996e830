//! Has the story of a book written, piece by piece. What there is so far is kept as it grows, so that
//! its author sees it, and so that whoever takes the job up after this worker died goes on behind it
//! instead of paying for all of it again.

use std::pin::pin;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use maru_schemas::books::{Book, Books, Command, WorkStatus};
use maru_schemas::ids::{BookId, JobId};
use maru_schemas::jobs::{FailureCode, Job};
use maru_streams::effects::{Begun, Effect};
use maru_streams::intention::Intention;
use maru_streams::jobs::{Delivery, Policy, Rate, Reason, Verdict};
use maru_streams::partial::Partial;

use super::{Kind, Outcome, REFUSED, Tools, ai_verdict, book, called_off, misplaced, tell};
use crate::ports::ai::{AiError, Piece, StoryBrief};

/// The kind.
pub const KIND: Kind = Kind {
    name: "write_story",
    policy: Policy {
        concurrency: 4,
        across: Some(16),
        rate: Some(Rate::new(10, 240)),
        metered: true,
        // Longer than a story takes; how long the provider may be silent is its own, shorter time.
        timeout: Duration::from_secs(300),
        fair: true,
        ..Policy::OUTSIDE
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

/// What has grown is kept so often while words come…
const KEEP_EVERY: Duration = Duration::from_millis(500);
/// …and sooner when so many bytes have come.
const KEEP_BYTES: usize = 400;

fn waits(book: &Book, job: JobId) -> bool {
    book.story.job == Some(job) && book.story.status != WorkStatus::Ready
}

async fn run(tools: &Tools, delivery: &Delivery, job: JobId, book_id: BookId) -> Outcome {
    let book = book(tools, book_id).await?;
    if !waits(&book, job) {
        // It was called off, or asked for anew, or it is done.
        tools.partials.forget(job.0).await.map_err(Verdict::later)?;
        return Ok(Vec::new());
    }
    let attempt = delivery.attempt;
    let start = Intention::command::<Books>(
        book_id,
        &Command::StartStory { job, attempt },
        format!("start/{attempt}"),
    );
    tell(tools, delivery, start).await?;
    let begun = tools.effects.begin(job.0, "write_story").await;
    let contents = match begun.map_err(Verdict::later)? {
        Begun::Before(contents) => Some(contents),
        Begun::Now(effect) => {
            let brief = StoryBrief {
                title: book.title,
                synopsis: book.synopsis,
            };
            write(tools, book_id, job, &brief, effect).await?
        }
    };
    // The ledger has the whole of it now, or nobody wants it. Who watches waits for the book.
    tools.partials.forget(job.0).await.map_err(Verdict::later)?;
    Ok(contents
        .map(|contents| Intention::command::<Books>(book_id, &Command::AttachStory { job, contents }, "attach"))
        .into_iter()
        .collect())
}

/// The story; None if it was called off meanwhile.
async fn write(
    tools: &Tools,
    book: BookId,
    job: JobId,
    brief: &StoryBrief,
    mut effect: Effect,
) -> Result<Option<String>, Verdict> {
    let partial = tools.partials.take_up(job.0, &effect).await.map_err(Verdict::later)?;
    let so_far = partial.text.clone();
    let mut draft = Draft::new(tools, partial);
    let mut pieces = tools.ai.write_story(brief, &so_far);
    let mut goes_on = !so_far.is_empty();
    let mut called_off = pin!(called_off(tools, book, |book| waits(book, job)));
    let mut pause = tokio::time::interval(KEEP_EVERY);
    let ended = loop {
        tokio::select! {
            piece = pieces.next() => {
                let begins_anew = matches!(piece, Some(Ok(Piece::Anew) | Err(_)));
                if std::mem::take(&mut goes_on) && !begins_anew {
                    tools.effects.goes_on(&mut effect).await.map_err(Verdict::later)?;
                }
                match piece {
                    Some(Ok(Piece::Words(words))) => draft.add(&words).await?,
                    Some(Ok(Piece::Anew)) => draft.begin_anew().await?,
                    Some(Err(error)) => break Err(error),
                    None if draft.text.trim().is_empty() => {
                        break Err(AiError::Unusable("there is no story in it".to_owned()));
                    }
                    None => break Ok(draft.text.trim().to_owned()),
                }
            },
            _ = pause.tick() => draft.keep().await?,
            () = &mut called_off => {
                drop(pieces);
                tools.effects.cancelled(&effect).await.map_err(Verdict::later)?;
                return Ok(None);
            }
        }
    };
    match ended {
        Ok(story) => {
            draft.keep().await?;
            tools.effects.done(&effect, &story).await.map_err(Verdict::later)?;
            Ok(Some(story))
        }
        Err(error) => {
            let verdict = match &error {
                // Perhaps it only does not like to be told what it has said: once more, from nothing.
                AiError::Refused(_) if !so_far.is_empty() => {
                    draft.begin_anew().await?;
                    Verdict::Retry {
                        reason: Reason::from_error(REFUSED, &error),
                        at_least: None,
                    }
                }
                _ => {
                    draft.keep().await?;
                    ai_verdict(&error)
                }
            };
            tools.effects.failed(&effect).await.map_err(Verdict::later)?;
            Err(verdict)
        }
    }
}

/// A story as far as it is written, and how much of that is kept.
struct Draft<'a> {
    tools: &'a Tools,
    partial: Partial,
    text: String,
    kept: usize,
}

impl<'a> Draft<'a> {
    fn new(tools: &'a Tools, partial: Partial) -> Self {
        let text = partial.text.clone();
        Self {
            tools,
            kept: text.len(),
            partial,
            text,
        }
    }

    async fn add(&mut self, words: &str) -> Result<(), Verdict> {
        // A story begins with a word, so that what is kept is always the beginning of what it will be.
        self.text.push_str(match self.text.as_str() {
            "" => words.trim_start(),
            _ => words,
        });
        if self.text.len() < self.kept + KEEP_BYTES {
            return Ok(());
        }
        self.keep().await
    }

    async fn begin_anew(&mut self) -> Result<(), Verdict> {
        self.text.clear();
        self.keep().await
    }

    async fn keep(&mut self) -> Result<(), Verdict> {
        if self.text.len() == self.kept {
            return Ok(());
        }
        let is_ours = self.tools.partials.keep(&self.partial, &self.text).await;
        if !is_ours.map_err(Verdict::later)? {
            let reason = Reason::new("overtaken", "another worker has taken this story up");
            return Err(Verdict::Snooze(Duration::from_secs(1), reason));
        }
        self.kept = self.text.len();
        Ok(())
    }
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
