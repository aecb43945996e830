//! What people do to a Maru in a usual minute: four hundred requests in each second, come what may, four reads for
//! each command. They are sent by the clock and not by the answers, so a slow one delays nobody but itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::http::Authors;
use crate::sheet::{Sheet, Speed};

const PER_SECOND: u32 = 400;
const FOR: Duration = Duration::from_secs(10);
/// One in so many is a command.
const COMMAND_EACH: usize = 5;

/// How long each kind of request took.
pub struct Mixed {
    pub accepted: Speed,
    pub read: Speed,
}

/// Sends them; whoever gets no 2xx ends the bench.
pub async fn mixed(sheet: &mut Sheet, authors: &Authors) -> Mixed {
    let books: Arc<[String]> = authors.their_books().await.into();
    let (begun, every) = (Instant::now(), Duration::from_secs(1) / PER_SECOND);
    let mut clock = tokio::time::interval(every);
    let mut asked = Vec::new();
    while begun.elapsed() < FOR {
        clock.tick().await;
        let (authors, books, nth) = (authors.clone(), Arc::clone(&books), asked.len());
        asked.push(tokio::spawn(async move {
            let sent = Instant::now();
            if nth % COMMAND_EACH == 0 {
                authors.begin_book("respond-async", 202).await;
            } else {
                authors.read(&books[nth % books.len()]).await;
            }
            (nth % COMMAND_EACH == 0, sent.elapsed())
        }));
    }
    let (mut accepted, mut read) = (Vec::new(), Vec::new());
    for asked in asked {
        let (is_command, took) = asked.await.expect("nothing breaks");
        if is_command { &mut accepted } else { &mut read }.push(took);
    }
    let took = begun.elapsed();
    let speed = |each: Vec<Duration>| Speed::new(each.len(), took, each);
    let mixed = Mixed {
        accepted: speed(accepted),
        read: speed(read),
    };
    sheet.speed("400 requests/s, commands accepted", 1, &mixed.accepted);
    sheet.speed("400 requests/s, books read", 1, &mixed.read);
    mixed
}
