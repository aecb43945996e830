use proptest::prelude::*;

use super::*;

/// A lane after so many first deliveries and settlements of a backlog.
fn seen(pending: u64, unsettled: u64, redelivered: u64, deliveries: u64, reached: u64) -> Seen {
    Seen {
        stream: "JOBS".into(),
        name: "job-paint_image".into(),
        filters: vec!["job.paint_image.>".into()],
        is_lane: true,
        pending,
        unsettled,
        redelivered,
        most_unsettled: 1000,
        pulls: 1,
        deliveries,
        reached,
        floor: 0,
        newest: 10_000,
        last_delivery: None,
        is_paused: false,
        notes: Default::default(),
    }
}

/// Looks every five seconds at a lane that settles `rate` a second of a backlog, while `others` messages of
/// other lanes lie between each two of its own and each message is delivered `tries` times.
fn watched(backlog: u64, rate: u64, looks: u64, others: u64, tries: u64) -> Pace {
    let (mut pace, start) = (Pace::default(), Instant::now());
    for nth in 0..looks {
        let done = (nth * 5 * rate).min(backlog);
        let mut one = seen(
            backlog - done,
            4,
            if tries > 1 { 4 } else { 0 },
            done * tries,
            done * (others + 1),
        );
        one.newest = backlog * (others + 1);
        pace.take(start + Duration::from_secs(nth * 5), one);
    }
    pace
}

proptest! {
    #[test]
    fn a_full_lane_drains_when_it_was_said_to(
        rate in 1_u64..500, seconds in 60_u64..600, looks in 3_u64..10, others in 0_u64..5, tries in 1_u64..4,
    ) {
        let backlog = rate * seconds;
        let pace = watched(backlog, rate, looks, others, tries);
        let left = seconds - (looks - 1) * 5;
        let said = pace.drain().unwrap().as_secs_f64();
        prop_assert!(said > left as f64 * 0.9 && said < left as f64 * 1.1 + 5.0, "{said} for {left}");
    }

    #[test]
    fn whatever_is_seen_no_time_is_negative_or_made_up(
        looks in proptest::collection::vec((0_u64..50, 0_u64..50, 0_u64..50, 0_u64..500, 0_u64..500), 1..40),
    ) {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for (nth, (pending, unsettled, redelivered, deliveries, reached)) in (0_u64..).zip(looks) {
            pace.take(start + Duration::from_secs(nth * 5), seen(pending, unsettled, redelivered, deliveries, reached));
            prop_assert!(pace.rate().is_none_or(|rate| rate >= 0.0 && rate.is_finite()));
            prop_assert_eq!(pace.drain().is_some(), pending + unsettled == 0 || pace.capacity().is_some());
        }
    }
}

#[test]
fn what_came_while_there_was_room_says_nothing_about_how_fast_a_lane_is() {
    let (mut pace, start) = (Pace::default(), Instant::now());
    for nth in 0..20 {
        pace.take(start + Duration::from_secs(nth * 5), seen(0, 1, 0, nth, nth));
    }
    assert_eq!(pace.capacity(), None);
    assert!(pace.rate().is_some_and(|rate| rate > 0.19 && rate < 0.21));
    assert_eq!(pace.drain(), None);
}

#[test]
fn a_paused_lane_and_one_that_settles_nothing_have_no_time() {
    let mut pace = watched(1000, 10, 4, 0, 1);
    assert!(pace.drain().is_some());
    let now = Instant::now() + Duration::from_secs(20);
    let paused = Seen {
        is_paused: true,
        ..seen(850, 4, 0, 150, 150)
    };
    pace.take(now, paused);
    assert_eq!(pace.drain(), None);
    assert_eq!(watched(1000, 0, 10, 0, 1).drain(), None);
}

#[test]
fn what_was_long_ago_is_forgotten() {
    let mut pace = watched(10_000, 10, 4, 0, 1);
    let later = Instant::now() + WINDOW * 2;
    pace.take(later, seen(9000, 4, 0, 150, 150));
    pace.take(later + Duration::from_secs(5), seen(9000, 4, 0, 150, 150));
    assert_eq!(pace.drain(), None);
}

#[test]
fn an_idle_lane_has_nothing_to_wait_for() {
    let mut pace = Pace::default();
    pace.take(Instant::now(), seen(0, 0, 0, 10, 10));
    assert_eq!(pace.drain(), Some(Duration::ZERO));
}
