//! How the database was found at the last start.

use super::{Finding, Grade};
use crate::heal::{Report, Start};
use crate::store::Store;

const WHAT: &str = "last start";

/// Nothing where nobody wrote it down: a database server of one's own is not healed at each start.
pub(super) async fn examine(store: &Store) -> Option<Finding> {
    match Start::of(store).await {
        Ok(start) => start.map(|start| finding(&start)),
        Err(error) => Some(Finding::graded(
            WHAT,
            Grade::Warn,
            error.to_string(),
            "see that the database can be read",
        )),
    }
}

fn finding(start: &Start) -> Finding {
    let Some(report) = &start.healed else {
        return Finding::ok(WHAT, format!("{}, on a database that had been closed", start.at));
    };
    let looked = format!(
        "{}, on a database that had not been closed: {} events and {} commands looked up",
        start.at, report.events, report.commands
    );
    if !report.found_anything() {
        return Finding::ok(WHAT, format!("{looked}, nothing was missing"));
    }
    let (grade, remedy) = match report.is_whole() {
        true => (
            Grade::Warn,
            "what was missing is back; find out what ended Maru without stopping it: a kill, the power, want of memory",
        ),
        false => (
            Grade::Bad,
            "some of it did not come back: `maru heal --dry-run` names it, docs/operating/heal.md says what to do",
        ),
    };
    Finding::graded(WHAT, grade, format!("{looked}, {}", what(report)), remedy)
}

fn what(report: &Report) -> String {
    let mut parts = vec![format!(
        "{} events and {} outcomes came back",
        report.healed_events, report.healed_outcomes
    )];
    if report.lost_outcomes > 0 {
        parts.push(format!("{} outcomes are lost", report.lost_outcomes));
    }
    if !report.broken_views.is_empty() {
        parts.push(format!("{} built again", report.broken_views.join(", ")));
    }
    if !report.is_whole() {
        parts.push(format!(
            "{} aggregates and {} events stay as they were found",
            report.unhealable_aggregates, report.unreadable
        ));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn start(healed: Option<Report>) -> Finding {
        finding(&Start {
            at: Timestamp::UNIX_EPOCH,
            healed,
        })
    }

    #[test]
    fn only_what_was_missing_is_worth_a_look_and_what_stays_missing_is_bad() {
        assert_eq!(start(None).grade, Grade::Ok);
        let nothing = Report {
            events: 12,
            ..Report::default()
        };
        assert_eq!(start(Some(nothing.clone())).grade, Grade::Ok);
        let back = Report {
            missing_events: 3,
            healed_events: 3,
            ..nothing.clone()
        };
        let found = start(Some(back));
        assert_eq!(found.grade, Grade::Warn);
        assert!(found.found.contains("3 events"), "{}", found.found);
        let stays = Report {
            unhealable_aggregates: 1,
            ..nothing
        };
        assert_eq!(start(Some(stays)).grade, Grade::Bad);
    }
}
