//! Holds facts against promises and against each other. Every check is one function with the sentence
//! it checks; a finding is what contradicts it.

use std::collections::{HashMap, HashSet};

use maru_schemas::ids;
use maru_schemas::outcome::Outcome;
use uuid::Uuid;

use super::facts::{Facts, LastWord, Logged};
use super::{Finding, Promise};

/// Everything that cannot be if all promises are kept; empty if they are.
#[must_use]
pub fn judge(facts: &Facts, promises: &[Promise]) -> Vec<Finding> {
    let words: HashMap<Uuid, &LastWord> = facts.inbox.iter().map(|row| (row.key.1, row)).collect();
    let mut made: HashMap<Uuid, Vec<&Logged>> = HashMap::new();
    for row in &facts.log {
        made.entry(row.command).or_default().push(row);
    }
    let mut findings = processed(facts, promises, &words);
    findings.extend(once(facts, &words, &made));
    findings.extend(told(promises, &words, &made));
    findings.extend(ordered(facts));
    findings.extend(published(facts));
    findings.extend(kept(facts));
    findings
}

/// Everything accepted is stored, and everything stored has a last word.
fn processed(facts: &Facts, promises: &[Promise], words: &HashMap<Uuid, &LastWord>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let dead: HashSet<Uuid> = facts.dead.iter().map(|letter| letter.id).collect();
    let promised: HashSet<Uuid> = promises.iter().map(|promise| promise.command).collect();
    let mut stored = HashSet::new();
    for asked in &facts.commands {
        let id = asked.id;
        if !stored.insert(id) {
            findings.push(Finding::new(
                "stored_twice",
                format!("command {id} lies in COMMANDS twice"),
            ));
        } else if !words.contains_key(&id) && !dead.contains(&id) {
            let who = if promised.contains(&id) {
                "it was accepted, "
            } else {
                ""
            };
            let kind = &asked.kind;
            let what = format!("command {id} ({kind}): {who}nobody handled it, and nobody will");
            findings.push(Finding::new("not_processed", what));
        }
    }
    for id in promised
        .iter()
        .filter(|id| !stored.contains(id) && !words.contains_key(id))
    {
        findings.push(Finding::new(
            "lost",
            format!("command {id} was accepted and lies nowhere"),
        ));
    }
    for letter in &facts.dead {
        let (lane, id) = (&letter.lane, letter.id);
        findings.push(Finding::new("given_up", format!("lane {lane} gave message {id} up")));
    }
    findings
}

/// A command has the effect that its inbox row tells, once, and none without such a row.
fn once(facts: &Facts, words: &HashMap<Uuid, &LastWord>, made: &HashMap<Uuid, Vec<&Logged>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.inbox.len() > words.len() {
        let twice = facts.inbox.len() - words.len();
        findings.push(Finding::new(
            "handled_twice",
            format!("{twice} commands have two inbox rows"),
        ));
    }
    for (command, rows) in made {
        let Some(word) = words.get(command) else {
            let what = format!("command {command} made {} events and has no inbox row", rows.len());
            findings.push(Finding::new("effect_without_inbox", what));
            continue;
        };
        let Outcome::Done { subject, version, .. } = &word.outcome else {
            let what = format!("command {command} was refused and made {} events", rows.len());
            findings.push(Finding::new("refused_with_effect", what));
            continue;
        };
        let mut versions: Vec<u64> = rows.iter().map(|row| row.key.2).collect();
        versions.sort_unstable();
        let first = (version + 1).saturating_sub(versions.len() as u64);
        let is_one_run = versions.iter().copied().eq(first..=*version);
        if !is_one_run
            || rows
                .iter()
                .any(|row| (&row.key.0, &row.key.1) != (&word.key.0, subject))
        {
            let what = format!(
                "command {command} made versions {versions:?}, its inbox row tells version {version} of {subject}"
            );
            findings.push(Finding::new("effect_differs", what));
        }
    }
    findings
}

/// What clients were told is what is written down.
fn told(promises: &[Promise], words: &HashMap<Uuid, &LastWord>, made: &HashMap<Uuid, Vec<&Logged>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for promise in promises {
        let (command, Some(word)) = (promise.command, words.get(&promise.command)) else {
            continue;
        };
        match (&word.outcome, promise.version) {
            (Outcome::Done { version, .. }, Some(told)) if *version != told => {
                let what =
                    format!("command {command}: its client was told version {told}, its inbox row says {version}");
                findings.push(Finding::new("answer_differs", what));
            }
            (Outcome::Refused { code, .. }, Some(told)) => {
                let what = format!("command {command}: its client was told version {told}, its inbox row says {code}");
                findings.push(Finding::new("answer_differs", what));
            }
            _ => {}
        }
        let events = made.get(&command).map_or(0, |rows| rows.len() as u64);
        if let Some(expected) = promise.events
            && matches!(word.outcome, Outcome::Done { .. })
            && events != expected
        {
            let what = format!("command {command} made {events} events instead of {expected}");
            findings.push(Finding::new("effect_count", what));
        }
    }
    findings
}

/// The events of an aggregate lie in EVENTS in the order of their versions, from 1 on, each once.
fn ordered(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = HashSet::new();
    let mut next: HashMap<(&str, Uuid), u64> = HashMap::new();
    for event in &facts.events {
        let (context, aggregate, version) = (event.context.as_str(), event.aggregate, event.version);
        let what = format!("{context} {aggregate} version {version}, event {}", event.id);
        if !seen.insert(event.id) {
            findings.push(Finding::new("published_twice", what));
            continue;
        }
        let expected = next.entry((context, aggregate)).or_insert(1);
        if version != *expected {
            let what = format!("{what}: version {expected} was to come next");
            findings.push(Finding::new("out_of_order", what));
        }
        *expected = version + 1;
    }
    findings
}

/// What was decided is in EVENTS, and what is in EVENTS was decided.
fn published(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ids: HashSet<Uuid> = facts.events.iter().map(|event| event.id).collect();
    let id_of = |row: &Logged| ids::derive(row.command, &format!("event/{}", row.key.2));
    for row in facts.log.iter().filter(|row| !ids.contains(&id_of(row))) {
        let (context, aggregate, version) = &row.key;
        let what = format!(
            "{context} {aggregate} version {version} was committed by command {} and never published",
            row.command
        );
        findings.push(Finding::new("not_published", what));
    }
    let decided: HashSet<Uuid> = facts.log.iter().map(id_of).collect();
    for event in facts.events.iter().filter(|event| !decided.contains(&event.id)) {
        let what = format!(
            "{} {} version {}, event {}: the database does not have it",
            event.context, event.aggregate, event.version, event.id
        );
        findings.push(Finding::new("not_committed", what));
    }
    for (context, aggregate, version) in &facts.outbox {
        let what = format!("{context} {aggregate} version {version} still waits in the outbox");
        findings.push(Finding::new("outbox_left", what));
    }
    findings
}

/// An aggregate's own row stands at the last version of its event log.
fn kept(facts: &Facts) -> Vec<Finding> {
    let mut newest: HashMap<(&str, Uuid), u64> = HashMap::new();
    for row in &facts.log {
        let newest = newest.entry((row.key.0.as_str(), row.key.1)).or_default();
        *newest = row.key.2.max(*newest);
    }
    let mut rows: HashMap<(&str, Uuid), u64> = HashMap::new();
    for (context, aggregate, version) in &facts.states {
        rows.insert((context.as_str(), *aggregate), *version);
    }
    let keys: HashSet<&(&str, Uuid)> = newest.keys().chain(rows.keys()).collect();
    let mut findings = Vec::new();
    for key in keys {
        let (row, log) = (rows.get(key).copied(), newest.get(key).copied());
        if row != log {
            let (context, aggregate) = key;
            let what = format!("{context} {aggregate}: its row tells version {row:?}, its log {log:?}");
            findings.push(Finding::new("state_differs", what));
        }
    }
    findings
}
