//! May it happen? First who may ask at all, then what the book's standing allows.

use maru_schemas::books::{Book, Command, Event, Refusal, Status, Text, Work, WorkStatus};
use maru_schemas::envelope::Actor;
use maru_schemas::ids::{self, JobId, MemberId};
use maru_schemas::message::Told;
use maru_streams::contract::By;

type Decision = Result<Vec<Told<Event, Text>>, Refusal>;

pub(super) fn decide(book: &Book, command: &Command, by: &By) -> Decision {
    match command {
        Command::CreateBook {
            title,
            synopsis,
            contents,
            price,
            publish,
        } => create(book, by, [title, synopsis, contents], *price, *publish),
        Command::EditBook {
            title,
            synopsis,
            contents,
            price,
            expected,
        } => {
            open_to_author(book, by)?;
            if expected.is_some_and(|expected| expected != by.version) {
                return Err(Refusal::ChangedMeanwhile);
            }
            Ok(edit(book, [title, synopsis, contents], *price))
        }
        Command::PublishBook {} => {
            open_to_author(book, by)?;
            publish(book)
        }
        Command::WithdrawBook {} => withdraw(book, by),
        Command::RequestStory { synopsis, image } => {
            open_to_author(book, by)?;
            request_story(book, by, synopsis.as_ref(), *image)
        }
        Command::RequestImage {} => request_image(book, by),
        Command::CancelStory {} => {
            its_author(book, by)?;
            cancel(&book.story, |job| Event::StoryCancelled { job }, Refusal::StoryEnded)
        }
        Command::CancelImage {} => {
            its_author(book, by)?;
            cancel(&book.painting, |job| Event::ImageCancelled { job }, Refusal::ImageEnded)
        }
        report => about_work(book, report, by),
    }
}

fn author_of(book: &Book) -> Result<MemberId, Refusal> {
    book.author.ok_or(Refusal::NoSuchBook)
}

fn its_author(book: &Book, by: &By) -> Result<(), Refusal> {
    if by.actor.is(author_of(book)?) {
        Ok(())
    } else {
        Err(Refusal::NotYours)
    }
}

/// Only the author, and not once it is withdrawn.
fn open_to_author(book: &Book, by: &By) -> Result<(), Refusal> {
    its_author(book, by)?;
    if book.status == Status::Withdrawn {
        return Err(Refusal::Withdrawn);
    }
    Ok(())
}

fn create(book: &Book, by: &By, words: [&String; 3], price: u32, publish: bool) -> Decision {
    if book.author.is_some() {
        return Err(Refusal::AlreadyThere);
    }
    let author = by.actor.member().ok_or(Refusal::NotYours)?;
    let [title, synopsis, contents] = words.map(|word| Some(word.clone()));
    if publish && contents.as_deref().is_none_or(str::is_empty) {
        return Err(Refusal::NothingToPublish);
    }
    let text = Text {
        title,
        synopsis,
        contents,
    };
    let mut told = vec![Told::with(
        Event::BookCreated {
            author,
            price,
            edition: 1,
        },
        text,
    )];
    if publish {
        told.push(Told::plain(Event::BookPublished { price, edition: 1 }));
    }
    Ok(told)
}

/// Only what differs is told; an edit that changes nothing is nothing.
fn edit(book: &Book, words: [&Option<String>; 3], price: Option<u32>) -> Vec<Told<Event, Text>> {
    let [title, synopsis, contents] = words;
    let changed = |new: &Option<String>, old: &String| new.clone().filter(|new| new != old);
    let text = Text {
        title: changed(title, &book.title),
        synopsis: changed(synopsis, &book.synopsis),
        contents: changed(contents, &book.contents),
    };
    let price = price.unwrap_or(book.price);
    if text == Text::default() && price == book.price {
        return Vec::new();
    }
    let makes_edition = text.title.is_some() || text.contents.is_some();
    let edition = book.edition + u32::from(makes_edition);
    vec![Told::with(Event::BookEdited { price, edition }, text)]
}

fn publish(book: &Book) -> Decision {
    match book.status {
        Status::Published => Err(Refusal::AlreadyPublished),
        _ if book.contents.is_empty() => Err(Refusal::NothingToPublish),
        _ => Ok(vec![Told::plain(Event::BookPublished {
            price: book.price,
            edition: book.edition,
        })]),
    }
}

/// The author, or an administrator who takes down what should not be there.
fn withdraw(book: &Book, by: &By) -> Decision {
    let author = author_of(book)?;
    if !by.actor.is(author) && !matches!(by.actor, Actor::Admin(_)) {
        return Err(Refusal::NotYours);
    }
    if book.status == Status::Withdrawn {
        return Ok(Vec::new());
    }
    Ok(vec![Told::plain(Event::BookWithdrawn {})])
}

const fn is_under_way(work: &Work) -> bool {
    matches!(work.status, WorkStatus::Requested | WorkStatus::Generating)
}

fn request_story(book: &Book, by: &By, synopsis: Option<&String>, image: bool) -> Decision {
    if is_under_way(&book.story) {
        return Err(Refusal::StoryUnderWay);
    }
    let told_about = synopsis.unwrap_or(&book.synopsis);
    if told_about.trim().is_empty() {
        return Err(Refusal::NothingToTell);
    }
    let job = JobId(ids::derive(by.command, "story"));
    let text = Text {
        synopsis: synopsis.cloned(),
        ..Text::default()
    };
    Ok(vec![Told::with(Event::StoryRequested { job, image }, text)])
}

/// The author asks, or the authoring flow after a story. The flow may come late: then an image that
/// is there or under way is left alone.
fn request_image(book: &Book, by: &By) -> Decision {
    author_of(book)?;
    let job = JobId(ids::derive(by.command, "image"));
    if by.actor == Actor::System {
        let has_one = is_under_way(&book.painting) || book.painting.status == WorkStatus::Ready;
        if has_one || book.status == Status::Withdrawn {
            return Ok(Vec::new());
        }
    } else {
        open_to_author(book, by)?;
        if is_under_way(&book.painting) {
            return Err(Refusal::ImageUnderWay);
        }
    }
    Ok(vec![Told::plain(Event::ImageRequested { job })])
}

/// Work of a withdrawn book can be called off too: somebody pays for it.
fn cancel(work: &Work, cancelled: fn(JobId) -> Event, ended: Refusal) -> Decision {
    match (work.status, work.job) {
        (WorkStatus::Requested | WorkStatus::Generating, Some(job)) => Ok(vec![Told::plain(cancelled(job))]),
        (WorkStatus::Ready | WorkStatus::Failed, _) => Err(ended),
        _ => Ok(Vec::new()),
    }
}

/// What workers report. A report about another unit of work than the current one, or about one that
/// is READY, comes late: nothing new happens. One that was given up may still succeed, when an
/// administrator has its dead letter replayed.
fn about_work(book: &Book, report: &Command, by: &By) -> Decision {
    if by.actor != Actor::System {
        return Err(Refusal::NotForPeople);
    }
    author_of(book)?;
    let current = |work: &Work, job: &JobId| work.job == Some(*job) && work.status != WorkStatus::Ready;
    let event = match report {
        Command::StartStory { job, attempt } if current(&book.story, job) && *attempt > book.story.attempts => {
            Event::StoryStarted {
                job: *job,
                attempt: *attempt,
            }
        }
        Command::StartImage { job, attempt } if current(&book.painting, job) && *attempt > book.painting.attempts => {
            Event::ImageStarted {
                job: *job,
                attempt: *attempt,
            }
        }
        Command::AttachStory { job, contents } if current(&book.story, job) => {
            let event = Event::StoryAttached {
                job: *job,
                edition: book.edition + 1,
                image: book.story.image,
            };
            let text = Text {
                contents: Some(contents.clone()),
                ..Text::default()
            };
            return Ok(vec![Told::with(event, text)]);
        }
        Command::AttachImage { job, image } if current(&book.painting, job) => Event::ImageAttached {
            job: *job,
            image: *image,
            edition: book.edition + 1,
        },
        Command::MarkStoryFailed { job, code, attempts } if current(&book.story, job) => Event::StoryFailed {
            job: *job,
            code: *code,
            attempts: *attempts,
            image: book.story.image,
        },
        Command::MarkImageFailed { job, code, attempts } if current(&book.painting, job) => Event::ImageFailed {
            job: *job,
            code: *code,
            attempts: *attempts,
        },
        _ => return Ok(Vec::new()),
    };
    Ok(vec![Told::plain(event)])
}
