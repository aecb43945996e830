use maru_schemas::ids;
use maru_schemas::outcome::Outcome;
use proptest::prelude::*;
use uuid::Uuid;

use super::{Asked, Facts, Finding, LastWord, Letter, Logged, Promise, Told, judge};

/// A history in which everything went well: aggregate by aggregate, how many events each command made.
/// A command that made none was refused.
fn history(aggregates: &[Vec<u64>]) -> (Facts, Vec<Promise>) {
    let (mut facts, mut promises) = (Facts::default(), Vec::new());
    let context = || "toys".to_owned();
    for (nth, commands) in aggregates.iter().enumerate() {
        let subject = ids::named("aggregate", &nth.to_string());
        let mut version = 0;
        for (step, events) in commands.iter().enumerate() {
            let command = ids::named("command", &format!("{nth}/{step}"));
            facts.commands.push(Asked {
                id: command,
                kind: "maru.toys.play.v1".into(),
            });
            for _ in 0..*events {
                version += 1;
                facts.log.push(Logged {
                    key: (context(), subject, version),
                    command,
                });
                facts.events.push(Told {
                    id: ids::derive(command, &format!("event/{version}")),
                    context: context(),
                    aggregate: subject,
                    version,
                });
            }
            let outcome = match events {
                0 => Outcome::Refused {
                    code: "NO".into(),
                    http: 409,
                    detail: "No.".into(),
                },
                _ => Outcome::Done {
                    subject,
                    version,
                    seq: None,
                },
            };
            facts.inbox.push(LastWord {
                key: (context(), command),
                outcome,
            });
            promises.push(Promise {
                command,
                version: (*events > 0).then_some(version),
                events: Some(*events),
            });
        }
        if version > 0 {
            facts.states.push((context(), subject, version));
        }
    }
    (facts, promises)
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    let mut codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn good() -> impl Strategy<Value = (Facts, Vec<Promise>)> {
    let commands = prop::collection::vec(0_u64..3, 1..6);
    let aggregates = prop::collection::vec(commands, 1..6);
    aggregates
        .prop_filter("somebody did something", |all| all.iter().flatten().any(|n| *n > 0))
        .prop_map(|aggregates| history(&aggregates))
}

fn pick(index: &prop::sample::Index, length: usize) -> usize {
    index.index(length)
}

proptest! {
    #[test]
    fn nothing_is_found_in_a_good_history((facts, promises) in good()) {
        prop_assert_eq!(judge(&facts, &promises), vec![]);
    }

    #[test]
    fn a_command_that_nobody_handled_is_found((mut facts, promises) in good(), which: prop::sample::Index) {
        let gone = facts.inbox.remove(pick(&which, promises.len())).key.1;
        facts.log.retain(|row| row.command != gone);
        let found = judge(&facts, &promises);
        prop_assert!(found.iter().any(|f| f.code == "not_processed" && f.detail.contains(&gone.to_string())));
    }

    #[test]
    fn a_command_that_lies_nowhere_is_found((mut facts, promises) in good(), which: prop::sample::Index) {
        let at = pick(&which, promises.len());
        facts.commands.remove(at);
        let gone = facts.inbox.remove(at).key.1;
        let found = judge(&facts, &promises);
        prop_assert!(found.iter().any(|f| f.code == "lost" && f.detail.contains(&gone.to_string())));
    }

    #[test]
    fn an_effect_that_came_twice_is_found((mut facts, promises) in good(), which: prop::sample::Index) {
        // As an engine without an inbox would do it: decided again, committed again, published again.
        let again = facts.log[pick(&which, facts.log.len())].clone();
        let newest = facts.log.iter().filter(|row| row.key.1 == again.key.1).map(|row| row.key.2).max();
        let version = newest.unwrap_or_default() + 1;
        facts.events.push(Told {
            id: ids::derive(again.command, &format!("event/{version}")),
            context: again.key.0.clone(),
            aggregate: again.key.1,
            version,
        });
        for state in facts.states.iter_mut().filter(|state| state.1 == again.key.1) {
            state.2 = version;
        }
        for word in facts.inbox.iter_mut().filter(|word| word.key.1 == again.command) {
            if let Outcome::Done { version: told, .. } = &mut word.outcome {
                *told = version;
            }
        }
        facts.log.push(Logged { key: (again.key.0, again.key.1, version), command: again.command });
        let found = codes(&judge(&facts, &promises));
        prop_assert!(found.contains(&"effect_count") && found.contains(&"answer_differs"), "{:?}", found);
    }

    #[test]
    fn an_event_that_is_published_twice_is_found((mut facts, promises) in good(), which: prop::sample::Index) {
        let again = facts.events[pick(&which, facts.events.len())].clone();
        facts.events.push(again);
        prop_assert_eq!(codes(&judge(&facts, &promises)), vec!["published_twice"]);
    }

    #[test]
    fn an_outbox_row_that_was_lost_is_found((mut facts, promises) in good(), which: prop::sample::Index) {
        // Committed, never published, and not waiting any more.
        facts.events.remove(pick(&which, facts.events.len()));
        prop_assert!(codes(&judge(&facts, &promises)).contains(&"not_published"));
    }

    #[test]
    fn a_commit_that_was_lost_is_found((mut facts, promises) in good(), which: prop::sample::Index) {
        // As an embedded database may lose it: published, and its rows gone.
        let gone = facts.log.remove(pick(&which, facts.log.len()));
        facts.inbox.retain(|row| row.key.1 != gone.command);
        let found = codes(&judge(&facts, &promises));
        prop_assert!(found.contains(&"not_committed") && found.contains(&"not_processed"), "{:?}", found);
    }

    #[test]
    fn events_that_changed_places_are_found((mut facts, promises) in good(), which: prop::sample::Index) {
        let pairs: Vec<usize> = (1..facts.events.len())
            .filter(|at| facts.events[at - 1].aggregate == facts.events[*at].aggregate)
            .collect();
        prop_assume!(!pairs.is_empty());
        let at = pairs[pick(&which, pairs.len())];
        facts.events.swap(at - 1, at);
        prop_assert_eq!(codes(&judge(&facts, &promises)), vec!["out_of_order"]);
    }
}

#[test]
fn what_waits_or_was_given_up_is_found() {
    let (mut facts, promises) = history(&[vec![2, 0, 1]]);
    facts.outbox.push(("toys".into(), Uuid::nil(), 1));
    facts.dead.push(Letter {
        lane: "cmd-toys".into(),
        id: Uuid::nil(),
    });
    facts.states[0].2 = 2;
    let found = codes(&judge(&facts, &promises));
    assert_eq!(found, ["given_up", "outbox_left", "state_differs"]);
}
