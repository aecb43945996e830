//! `maru dead-letters replays`, and waiting for one.

use maru_schemas::letters::Done;
use maru_schemas::replays::{Came, Replayed, Replaying, Shown};
use serde_json::{Value, from_value, json};

use super::{LeftSome, show_done};
use crate::Outcome;
use crate::operator::Site;

/// Letters that are still to be dealt with.
#[derive(Debug, thiserror::Error)]
#[error("of {of} letters {dead} are dead again and {skipped} were left as they are")]
struct NotAll {
    of: u64,
    dead: u64,
    skipped: u64,
}

/// Where nobody works, waiting would have no end.
#[derive(Debug, thiserror::Error)]
#[error("nobody works there, so nothing would come of waiting: start Maru, or leave --wait out")]
struct NobodyWorks;

/// Replays, and waits until it is known what came of each letter.
pub async fn replay_and_wait(site: &Site, question: Value) -> Outcome {
    let reached = site.reach().await?;
    if reached.is_opened_here() {
        reached.leave(site).await?;
        return Err(NobodyWorks.into());
    }
    let asked = async {
        let word = |word: Value| eprintln!("{} of {} handed over", word["done"], word["of"]);
        let done: Done = from_value(reached.ask("dead_letters.replay", question, word).await?)?;
        let Some(replay) = done.replay else {
            return Ok((done, None));
        };
        let word = |word: Value| {
            if let Ok(stands) = from_value::<Replaying>(word) {
                eprintln!("{}", sentence(&stands));
            }
        };
        let waited = reached.ask("dead_letters.replay_wait", json!({ "replay": replay }), word);
        let stands: Replaying = from_value(waited.await?)?;
        let status = reached.ask("dead_letters.replay_status", json!({ "replay": replay }), |_| {});
        let mut shown: Shown = from_value(status.await?)?;
        shown.replay = stands;
        Ok::<_, Box<dyn std::error::Error>>((done, Some(shown)))
    };
    let asked = asked.await;
    reached.leave(site).await?;
    let (done, shown) = asked?;
    match (&shown, site.json) {
        (Some(shown), true) => println!("{:#}", json!(shown.replay)),
        (None, true) => println!("{:#}", json!(done)),
        (Some(shown), false) => {
            println!("{}", sentence(&shown.replay));
            let is_left = |came| matches!(came, Some(Came::Dead | Came::Skipped));
            shown
                .letters
                .iter()
                .filter(|letter| is_left(letter.came))
                .for_each(tell_letter);
        }
        (None, false) => show_done(&done),
    }
    match shown.map(|shown| shown.replay) {
        Some(Replaying { of, dead, skipped, .. }) if dead + skipped > 0 => Err(NotAll { of, dead, skipped }.into()),
        _ if !done.skipped.is_empty() => Err(LeftSome(done.skipped.len()).into()),
        _ => Ok(()),
    }
}

fn sentence(stands: &Replaying) -> String {
    let Replaying {
        of,
        done,
        refused,
        dead,
        skipped,
        ..
    } = stands;
    let settled = stands.settled();
    format!("{settled} of {of} settled: {done} done, {refused} refused, {dead} dead again, {skipped} left as they are")
}

pub fn list(replays: &[Replaying]) {
    if replays.is_empty() {
        println!("No replays in the last weeks.");
    }
    for replay in replays {
        tell(replay);
    }
}

fn tell(replay: &Replaying) {
    println!("{}  by {}", replay.id, replay.by);
    println!("    {}", sentence(replay));
    match replay.finished {
        Some(finished) => println!("    {} to {finished}", replay.began),
        None => println!("    since {}", replay.began),
    }
}

pub fn show(shown: &Shown) {
    tell(&shown.replay);
    println!("    {}", json!(shown.replay.which));
    shown.letters.iter().for_each(tell_letter);
    if (shown.letters.len() as u64) < shown.replay.of {
        println!("and {} more", shown.replay.of - shown.letters.len() as u64);
    }
}

fn tell_letter(letter: &Replayed) {
    let why = letter.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    let came = letter.came.map_or("waits", Came::as_str);
    println!("{:>8}  {came:<8} {}{why}", letter.number, letter.lane);
}
