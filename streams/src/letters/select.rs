//! Which letters are meant, and in what order they go.

use maru_schemas::letters::{Letter, Line, Listing, State, Which};

use super::Found;

/// What is kept of a letter while others are looked at; the letter itself is read again when its turn comes.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) line: Line,
    /// Where the message lay in its stream.
    pub(super) at: u64,
}

impl From<Found> for Chosen {
    fn from(found: Found) -> Self {
        Self {
            at: found.letter.seq,
            line: found.letter.line(),
        }
    }
}

/// Whether a kind is meant by its own name or by its whole `ce-type`.
fn is_kind(wanted: &str, kind: &str) -> bool {
    kind == wanted || kind.split('.').nth(2) == Some(wanted)
}

/// Whether a lane is meant by its own name or by the one of what it does.
#[must_use]
pub fn is_lane(wanted: &str, lane: &str) -> bool {
    lane == wanted || lane.split_once('-').is_some_and(|(_, what)| what == wanted)
}

fn agrees<T: PartialEq + ?Sized>(wanted: Option<&T>, is: &T) -> bool {
    wanted.is_none_or(|wanted| wanted == is)
}

pub(super) fn is_listed(listing: &Listing, letter: &Letter) -> bool {
    listing
        .state
        .map_or(letter.state.is_open(), |state| state == letter.state)
        && listing.lane.as_ref().is_none_or(|lane| is_lane(lane, &letter.lane))
        && agrees(listing.reason.as_ref(), &letter.reason)
        && listing.kind.as_ref().is_none_or(|kind| is_kind(kind, &letter.kind))
        && listing.since.is_none_or(|since| letter.died_at >= since)
        && listing.cursor.is_none_or(|cursor| letter.number > cursor)
}

/// Whether an open letter is meant by what it has in common with others.
pub(super) fn is_meant(which: &Which, letter: &Letter) -> bool {
    letter.state.is_open()
        && which.lane.as_ref().is_none_or(|lane| is_lane(lane, &letter.lane))
        && agrees(which.reason.as_ref(), &letter.reason)
        && which.kind.as_ref().is_none_or(|kind| is_kind(kind, &letter.kind))
        && which.since.is_none_or(|since| letter.died_at >= since)
}

/// In the order in which the messages came to their lanes; what waits behind another follows it.
pub(super) fn in_order(mut chosen: Vec<Chosen>) -> Vec<Chosen> {
    chosen.sort_by(|a, b| (&a.line.lane, a.at).cmp(&(&b.line.lane, b.at)));
    let mut order: Vec<Chosen> = Vec::with_capacity(chosen.len());
    let (behind, heads): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|it| it.line.state == State::Behind);
    for head in heads {
        let (lane, key) = (head.line.lane.clone(), head.line.key);
        order.push(head);
        let follow = behind
            .iter()
            .filter(|it| key.is_some() && it.line.key == key && it.line.lane == lane);
        order.extend(follow.cloned());
    }
    let missing = |it: &&Chosen| !order.iter().any(|other| other.line.number == it.line.number);
    let rest: Vec<Chosen> = behind.iter().filter(missing).cloned().collect();
    order.extend(rest);
    order
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn chosen(number: u64, lane: &str, key: u128, at: u64, state: State) -> Chosen {
        Chosen {
            line: Line {
                number,
                lane: lane.into(),
                message: Uuid::from_u128(number.into()),
                kind: "maru.books.book_created.v1".into(),
                key: Some(Uuid::from_u128(key)),
                state,
                reason: "panicked".into(),
                attempts: 1,
                replays: 0,
                died_at: Timestamp::UNIX_EPOCH,
            },
            at,
        }
    }

    #[test]
    fn successors_follow_their_head_in_stream_order() {
        let order = in_order(vec![
            chosen(1, "flow-checkout", 7, 52, State::Behind),
            chosen(2, "flow-checkout", 8, 45, State::Dead),
            chosen(3, "flow-checkout", 7, 44, State::Behind),
            chosen(4, "flow-checkout", 7, 41, State::Dead),
        ]);
        let numbers: Vec<u64> = order.iter().map(|it| it.line.number).collect();
        assert_eq!(numbers, [4, 3, 1, 2]);
    }

    #[test]
    fn a_kind_is_meant_by_its_name_or_its_whole_type() {
        assert!(is_kind("charge", "maru.job.charge.v1") && is_kind("maru.job.charge.v1", "maru.job.charge.v1"));
        assert!(!is_kind("char", "maru.job.charge.v1") && !is_kind("", "maru.job.charge.v1"));
    }

    proptest! {
        #[test]
        fn ordering_loses_none_and_doubles_none(letters in prop::collection::vec((0..3_u128, 0..50_u64, any::<bool>()), 0..40)) {
            let all: Vec<Chosen> = letters.iter().zip(1..).map(|((key, at, head), number)| {
                chosen(number, "flow-checkout", *key, *at, if *head { State::Dead } else { State::Behind })
            }).collect();
            let mut numbers: Vec<u64> = in_order(all.clone()).iter().map(|it| it.line.number).collect();
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(numbers.len(), all.len());
        }
    }

    #[test]
    fn a_lane_is_meant_by_its_own_name_and_by_what_it_does() {
        assert!(is_lane("job-write_story", "job-write_story") && is_lane("write_story", "job-write_story"));
        assert!(!is_lane("story", "job-write_story") && !is_lane("flow-write_story", "job-write_story"));
    }
}
