//! Commands that were settled and of which nobody knows any more what became of them.
//!
//! What took effect has events, and came back with them. What is left changed nothing: it was refused, or
//! there was nothing to do. It is decided once more, and whatever comes out, it still changes nothing. A
//! command that nobody has settled yet comes again by itself and is left alone.

use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt;
use maru_schemas::outcome::Outcome;
use maru_schemas::refusal::OUTCOME_LOST;
use uuid::Uuid;

use super::again::Again;
use super::events::missing;
use super::log::{self, Stored};
use super::{Findings, Heal, HealError, Say, Word, Work};
use crate::jobs::canary;
use crate::store::Key;
use crate::subject::Subject;
use crate::topology::{COMMANDS, DEAD};
use crate::write::commands::lane;
use crate::write::inbox::inbox_key;

/// How many windows are looked up while one is being settled.
const AHEAD: usize = 4;

/// A command with the context that decides it.
type Ours = (Arc<dyn Again>, Uuid, Stored);

/// What a window of COMMANDS came to.
struct Looked {
    last: u64,
    commands: u64,
    /// Those that have no outcome.
    without: Vec<Ours>,
}

pub(super) async fn mend(
    heal: &Heal,
    work: &Arc<Work>,
    after: u64,
    settled: &[(&'static str, u64)],
    findings: &mut Findings,
    say: Say<'_>,
) -> Result<(), HealError> {
    let to = settled.iter().map(|(_, seq)| *seq).max().unwrap_or_default();
    let windows = log::walk(work.nats.clone(), COMMANDS, after, to);
    let looked = windows.map_ok(|window| {
        let last = window.last().map(|last| last.seq).unwrap_or_default();
        let commands = window.into_iter().filter_map(|stored| whose(heal, settled, stored));
        look_up(Arc::clone(work), last, commands.collect())
    });
    let mut looked = pin!(looked.try_buffered(AHEAD));
    while let Some(looked) = looked.try_next().await? {
        findings.report.commands += looked.commands;
        for (again, id, stored) in &looked.without {
            settle(&**again, work, *id, stored, findings).await?;
        }
        say(Word {
            looking_at: "commands",
            at: looked.last,
            to,
        });
    }
    Ok(())
}

/// None for what nobody has settled yet, or nobody here decides.
fn whose(heal: &Heal, settled: &[(&'static str, u64)], stored: Stored) -> Option<Ours> {
    let Some(Subject::Command { context, id, .. }) = Subject::parse(&stored.subject) else {
        return None;
    };
    if stored.envelope.as_ref().is_ok_and(canary::is_canary) {
        return None;
    }
    let (_, seq) = settled.iter().find(|(name, _)| *name == context)?;
    let again = heal.contexts.iter().find(|again| again.context() == context)?;
    (stored.seq <= *seq).then(|| (Arc::clone(again), id, stored))
}

async fn look_up(work: Arc<Work>, last: u64, commands: Vec<Ours>) -> Result<Looked, HealError> {
    let key = |(again, id, _): &Ours| inbox_key(again.context(), *id);
    let keys: Vec<Key> = commands.iter().map(key).collect();
    let missing = missing(&work.store, &keys).await?;
    Ok(Looked {
        last,
        commands: keys.len() as u64,
        without: commands
            .into_iter()
            .filter(|ours| missing.contains(&key(ours)))
            .collect(),
    })
}

async fn settle(
    again: &dyn Again,
    work: &Work,
    id: Uuid,
    stored: &Stored,
    findings: &mut Findings,
) -> Result<(), HealError> {
    let context = again.context();
    let Ok(envelope) = &stored.envelope else { return Ok(()) };
    // What it did may be just what cannot be brought back.
    if findings.decided.contains(&id) || findings.stuck.contains(&(context, envelope.subject)) {
        return Ok(());
    }
    let letter = Subject::Dead {
        lane: &lane(context),
        id,
    };
    // Given up, it has no outcome, and people see to it.
    if log::newest(&work.nats, DEAD, letter.to_string()).await?.is_some() {
        return Ok(());
    }
    match again.outcome(work, stored).await? {
        Some(Outcome::Refused { code, .. }) if code == OUTCOME_LOST.code => {
            tracing::warn!(context, command = %id, "what became of a command is lost");
            findings.report.lost_outcomes += 1;
        }
        Some(_) => findings.report.healed_outcomes += 1,
        None => {}
    }
    Ok(())
}
