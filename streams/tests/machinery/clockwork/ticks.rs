//! Ticks: each time once, whoever dies and whatever the clocks say.

use std::sync::atomic::{AtomicUsize, Ordering};

use maru_streams::schedule::{Missed, Tick, Ticks, Work};
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use super::*;

fn every_second(missed: Missed) -> Tick {
    Tick {
        name: "beat",
        every: Duration::from_secs(1),
        at: Duration::ZERO,
        missed,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_runs_once_in_three_processes_and_goes_on_after_the_server_was_killed() {
    let world = World::new(&Ticks::consumers()).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let stop = CancellationToken::new();
    let mut lanes = Vec::new();
    for _ in 0..3 {
        let runs = Arc::clone(&runs);
        let work: Work = Arc::new(move || {
            runs.fetch_add(1, Ordering::SeqCst);
            async { Ok(1) }.boxed()
        });
        let schedules = Schedules::start(world.nats.clone());
        let ticks = Ticks::new(schedules, Clock::system(), [(every_second(Missed::RunOnce), work)]);
        lanes.push(ticks.lane().start(&world.engine));
        tokio::spawn(ticks.wind(stop.clone()));
    }
    until("it ticks", async || runs.load(Ordering::SeqCst) >= 3).await;
    world.server.signal(Signal::KILL);
    let before = runs.load(Ordering::SeqCst);
    until("it goes on", async || runs.load(Ordering::SeqCst) >= before + 3).await;
    stop.cancel();
    futures_util::future::join_all(lanes.into_iter().map(|lane| lane.stop(Duration::from_secs(5)))).await;
    // Of each time there is one message, and no more were run than there are.
    let ran = runs.load(Ordering::SeqCst);
    let came = times(&world).await;
    assert_eq!(came.iter().collect::<HashSet<_>>().len(), came.len(), "{came:?}");
    assert!(ran <= came.len(), "{came:?} came and {ran} were run");
}

/// The times for which a tick has come.
async fn times(world: &World) -> Vec<String> {
    let stream = world.nats.jetstream().get_stream(SCHEDULES).await.unwrap();
    let mut times = Vec::new();
    for seq in 1..=stream.cached_info().state.last_sequence {
        // Schedules that have fired are gone.
        if let Ok(message) = stream.direct_get(seq).await
            && message.subject.as_str() == "due.tick.beat"
        {
            times.push(message.headers.get("ce-time").unwrap().to_string());
        }
    }
    times
}

/// The server says when a time has come; a process whose clock is not so far yet must not take that time for the
/// next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_behind_the_servers_neither_repeats_a_tick_nor_breaks_the_chain() {
    let world = World::new(&Ticks::consumers()).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let work: Work = Arc::new({
        let runs = Arc::clone(&runs);
        move || {
            runs.fetch_add(1, Ordering::SeqCst);
            async { Ok(1) }.boxed()
        }
    });
    let behind = ahead(SignedDuration::from_millis(-600));
    let schedules = Schedules::start(world.nats.clone());
    let ticks = Ticks::new(schedules, behind, [(every_second(Missed::RunOnce), work)]);
    let lane = ticks.lane().start(&world.engine);
    let stop = CancellationToken::new();
    tokio::spawn(ticks.wind(stop.clone()));
    until("it ticks on and on", async || runs.load(Ordering::SeqCst) >= 4).await;
    stop.cancel();
    lane.stop(Duration::from_secs(5)).await;
    let came = times(&world).await;
    assert_eq!(came.iter().collect::<HashSet<_>>().len(), came.len(), "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_run_once_or_left_out_and_the_next_waits() {
    for (missed, expected) in [(Missed::RunOnce, 1), (Missed::Skip, 0)] {
        let world = World::new(&Ticks::consumers()).await;
        let runs = Arc::new(AtomicUsize::new(0));
        let work: Work = Arc::new({
            let runs = Arc::clone(&runs);
            move || {
                runs.fetch_add(1, Ordering::SeqCst);
                async { Ok(1) }.boxed()
            }
        });
        // Wound up days ago by a house that then went away: its time has come long since.
        let daily = Tick {
            every: Duration::from_secs(24 * 3600),
            ..every_second(missed)
        };
        let ticks = |clock| {
            let schedules = Schedules::start(world.nats.clone());
            Ticks::new(schedules, clock, [(daily, Arc::clone(&work))])
        };
        let stop = CancellationToken::new();
        let then = tokio::spawn(ticks(ahead(SignedDuration::from_hours(-24 * 5))).wind(stop.clone()));
        until("it has come", async || messages(&world, "due.tick.beat").await == 1).await;
        let now = ticks(Clock::system());
        let lane = now.lane().start(&world.engine);
        until("the next one waits", async || {
            messages(&world, "sched.tick.beat").await == 1
        })
        .await;
        lane.stop(Duration::from_secs(5)).await;
        assert_eq!(runs.load(Ordering::SeqCst), expected, "{missed:?}");
        stop.cancel();
        then.await.unwrap();
    }
}
