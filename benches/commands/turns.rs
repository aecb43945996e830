//! Commands beside what they are made of, turn by turn: a machine has slow minutes and slow seconds, in which the same
//! work takes twice as long, and a ratio means something only between numbers of the same ones. The middle of the
//! turns' ratios counts.

use std::time::Duration;

use maru_streams::testing::World;

use crate::http::Authors;
use crate::raw::{publishing, transacting};
use crate::sheet::{Sheet, Speed, fly_for, middle};

const TURNS: usize = 7;
/// How long a turn is for one that is alone, ...
const ALONE: Duration = Duration::from_secs(1);
/// ... and for a crowd, each of which takes most of a second.
const CROWD: Duration = Duration::from_secs(3);
/// How many of a crowd are in flight, and how many transactions they are held against.
const IN_FLIGHT: usize = 256;
const TRANSACTIONS: usize = 64;

async fn finishing(authors: &Authors, span: Duration, at_once: usize) -> Speed {
    let authors = authors.clone();
    fly_for(span, at_once, usize::MAX, move || {
        authors.clone().begin_book("wait=30", 201)
    })
    .await
}

/// How many times as long as a publish and a transaction one command takes to its outcome, all of them alone.
pub async fn alone(sheet: &mut Sheet, world: &World, authors: &Authors) -> f64 {
    let (mut publishes, mut transactions, mut commands) = (Vec::new(), Vec::new(), Vec::new());
    let mut ratios = Vec::new();
    for _ in 0..TURNS {
        let publish = fly_for(ALONE, 1, usize::MAX, publishing(world)).await;
        let transaction = fly_for(ALONE, 1, usize::MAX, transacting(world)).await;
        let command = finishing(authors, ALONE, 1).await;
        ratios.push(command.p50_ms() / (publish.p50_ms() + transaction.p50_ms()));
        publishes.push(publish);
        transactions.push(transaction);
        commands.push(command);
    }
    sheet.speed("by turns: acknowledged publish", 1, &Speed::of_all(publishes));
    sheet.speed("by turns: transaction of a new book", 1, &Speed::of_all(transactions));
    sheet.speed("by turns: command, finished", 1, &Speed::of_all(commands));
    middle(ratios)
}

/// How many commands of a crowd are finished for each transaction that a crowd can make, and how many a second.
pub async fn crowd(sheet: &mut Sheet, world: &World, authors: &Authors) -> (f64, Speed) {
    let (mut transactions, mut commands, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let transaction = fly_for(CROWD, TRANSACTIONS, usize::MAX, transacting(world)).await;
        let command = finishing(authors, CROWD, IN_FLIGHT).await;
        ratios.push(command.per_second / transaction.per_second);
        transactions.push(transaction);
        commands.push(command);
    }
    sheet.speed(
        "by turns: transaction of a new book",
        TRANSACTIONS,
        &Speed::of_all(transactions),
    );
    let live = Speed::of_all(commands);
    sheet.speed("by turns: command, finished", IN_FLIGHT, &live);
    (middle(ratios), live)
}
