//! Who is next: what a lane has taken in and not begun, in the order of turns.
//!
//! Members take turns: each message gets a number one above its member's last, and never below the number
//! that is being served; the lowest number is next. So one who came with a thousand waits behind one who
//! came with ten, and nobody who asks for little waits for long.
//!
//! What stands at the **back** (what its member has too much of in front) is served when the front is
//! empty, and every fourth time in any case, so that it grows old and is done all the same.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

/// Where a source of messages stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// First come.
    Front,
    /// When the front is empty, and every fourth time.
    Back,
}

/// Every so many turns the back has one, whatever waits in front.
const BACK_EVERY: u64 = 4;

/// What waits for its turn.
pub(super) struct Turns<T> {
    front: Line<T>,
    back: Line<T>,
    served: u64,
}

struct Line<T> {
    waiting: BTreeMap<(u64, u64), (Option<Uuid>, T)>,
    /// The last number of everybody who has one above `serving`.
    last: HashMap<Option<Uuid>, u64>,
    /// How many each has waiting.
    count: HashMap<Option<Uuid>, usize>,
    serving: u64,
    arrivals: u64,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            front: Line::default(),
            back: Line::default(),
            served: 0,
        }
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            last: HashMap::new(),
            count: HashMap::new(),
            serving: 0,
            arrivals: 0,
        }
    }
}

impl<T> Line<T> {
    fn push(&mut self, member: Option<Uuid>, item: T) {
        let last = self.last.entry(member).or_default();
        *last = (*last).max(self.serving) + 1;
        self.arrivals += 1;
        *self.count.entry(member).or_default() += 1;
        self.waiting.insert((*last, self.arrivals), (member, item));
    }

    /// The lowest number of those that may be served now.
    fn pop(&mut self, may: &impl Fn(&T) -> bool) -> Option<T> {
        let place = *self.waiting.iter().find(|(_, (_, item))| may(item))?.0;
        let (member, item) = self.waiting.remove(&place)?;
        self.serving = self.serving.max(place.0);
        if let Some(count) = self.count.get_mut(&member) {
            *count -= 1;
            if *count == 0 {
                // Whoever has nothing waiting begins at the number that is being served.
                self.count.remove(&member);
                self.last.remove(&member);
            }
        }
        Some(item)
    }
}

impl<T> Turns<T> {
    /// Takes one in.
    pub(super) fn push(&mut self, rank: Rank, member: Option<Uuid>, item: T) {
        match rank {
            Rank::Front => self.front.push(member, item),
            Rank::Back => self.back.push(member, item),
        }
    }

    /// Whose turn it is, of those that may be served now.
    pub(super) fn pop(&mut self, may: impl Fn(&T) -> bool) -> Option<T> {
        let is_the_backs = self.front.waiting.is_empty() || self.served % BACK_EVERY == BACK_EVERY - 1;
        let item = if is_the_backs {
            self.back.pop(&may).or_else(|| self.front.pop(&may))
        } else {
            self.front.pop(&may).or_else(|| self.back.pop(&may))
        };
        self.served += u64::from(item.is_some());
        item
    }

    /// How many of a member's wait in front.
    pub(super) fn in_front(&self, member: Option<Uuid>) -> usize {
        self.front.count.get(&member).copied().unwrap_or_default()
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.front.waiting.is_empty() && self.back.waiting.is_empty()
    }

    /// Everything, in no order.
    pub(super) fn drain(&mut self) -> Vec<T> {
        let lines = [std::mem::take(&mut self.front), std::mem::take(&mut self.back)];
        lines
            .into_iter()
            .flat_map(|line| line.waiting.into_values().map(|(_, item)| item))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(n: u128) -> Option<Uuid> {
        Some(Uuid::from_u128(n))
    }

    #[test]
    fn ten_are_not_starved_by_a_thousand() {
        let mut turns = Turns::default();
        for _ in 0..1000 {
            turns.push(Rank::Front, member(1), 1);
        }
        for _ in 0..10 {
            turns.push(Rank::Front, member(2), 2);
        }
        let first: Vec<i32> = std::iter::from_fn(|| turns.pop(|_| true)).take(20).collect();
        assert_eq!(first.iter().filter(|&&whose| whose == 2).count(), 10);
    }

    #[test]
    fn who_comes_late_does_not_make_up_for_the_time_away() {
        let mut turns = Turns::default();
        for _ in 0..100 {
            turns.push(Rank::Front, member(1), 1);
        }
        for _ in 0..50 {
            turns.pop(|_| true);
        }
        for _ in 0..50 {
            turns.push(Rank::Front, member(2), 2);
        }
        let next: Vec<i32> = std::iter::from_fn(|| turns.pop(|_| true)).take(20).collect();
        assert_eq!(next.iter().filter(|&&whose| whose == 1).count(), 10, "{next:?}");
    }

    #[test]
    fn what_may_not_be_served_now_is_passed_by_and_keeps_its_place() {
        let mut turns = Turns::default();
        for nth in 0..4 {
            turns.push(Rank::Front, member(1), nth);
        }
        assert_eq!(turns.pop(|&nth| nth > 1), Some(2));
        assert_eq!(turns.pop(|_| true), Some(0));
        assert_eq!(turns.pop(|_| false), None);
    }

    #[test]
    fn the_back_is_served_every_fourth_time() {
        let mut turns = Turns::default();
        for _ in 0..100 {
            turns.push(Rank::Front, member(1), "front");
            turns.push(Rank::Back, member(2), "back");
        }
        let first: Vec<&str> = std::iter::from_fn(|| turns.pop(|_| true)).take(40).collect();
        assert_eq!(first.iter().filter(|&&which| which == "back").count(), 10);
    }

    proptest! {
        #[test]
        fn everything_comes_out_once_and_each_members_own_in_order(
            arrivals in prop::collection::vec((0..5_u128, any::<bool>(), any::<bool>()), 0..200)
        ) {
            let mut turns = Turns::default();
            let mut out = Vec::new();
            for (nth, (who, is_back, pops)) in arrivals.iter().copied().enumerate() {
                turns.push(if is_back { Rank::Back } else { Rank::Front }, member(who), (who, is_back, nth));
                if pops {
                    out.extend(turns.pop(|_| true));
                }
            }
            out.extend(std::iter::from_fn(|| turns.pop(|_| true)));
            let mut all: Vec<usize> = out.iter().map(|(_, _, nth)| *nth).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..arrivals.len()).collect::<Vec<_>>());
            for who in 0..5 {
                for back in [false, true] {
                    let own: Vec<usize> = out
                        .iter()
                        .filter(|(whose, is_back, _)| *whose == who && *is_back == back)
                        .map(|(_, _, nth)| *nth)
                        .collect();
                    prop_assert!(own.is_sorted());
                }
            }
            prop_assert!(turns.front.last.is_empty() && turns.back.last.is_empty(), "nobody is remembered for nothing");
        }

        #[test]
        fn no_two_who_wait_are_ever_served_more_than_one_apart(counts in prop::collection::vec(1..50_usize, 2..6)) {
            let mut turns = Turns::default();
            for (who, count) in (0_u128..).zip(&counts) {
                for _ in 0..*count {
                    turns.push(Rank::Front, member(who), who);
                }
            }
            let mut served = vec![0_usize; counts.len()];
            while let Some(who) = turns.pop(|_| true) {
                served[usize::try_from(who).unwrap()] += 1;
                let waiting: Vec<usize> = (0..counts.len()).filter(|&who| served[who] < counts[who]).map(|who| served[who]).collect();
                if let (Some(most), Some(least)) = (waiting.iter().max(), waiting.iter().min()) {
                    prop_assert!(most - least <= 1);
                }
            }
        }
    }
}
