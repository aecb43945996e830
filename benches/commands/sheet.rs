//! The table: how quickly something went, and what else was measured, printed as it comes and kept as JSON.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::goals::Goal;

/// How long each measurement goes on, if it is not over sooner.
const SPAN: Duration = Duration::from_secs(4);

/// How quickly something went.
#[derive(Clone)]
pub struct Speed {
    pub per_second: f64,
    /// How long each one took, from the quickest to the slowest.
    each: Vec<Duration>,
}

impl Speed {
    /// So many one after the other, or as a whole.
    pub fn whole(count: usize, took: Duration) -> Self {
        Self::new(count, took, Vec::new())
    }

    pub fn new(count: usize, took: Duration, mut each: Vec<Duration>) -> Self {
        each.sort_unstable();
        Self {
            per_second: count as f64 / took.as_secs_f64(),
            each,
        }
    }

    /// Several, as if they had been one measurement.
    pub fn of_all(several: Vec<Self>) -> Self {
        let took = |speed: &Self| speed.each.len() as f64 / speed.per_second;
        let took = Duration::from_secs_f64(several.iter().map(took).sum());
        let each: Vec<Duration> = several.into_iter().flat_map(|speed| speed.each).collect();
        Self::new(each.len(), took, each)
    }

    /// So many of a thousand took no longer, in milliseconds.
    pub fn within_ms(&self, share: usize) -> Option<f64> {
        let nth = self.each.len().checked_sub(1)? * share / 1000;
        Some(self.each[nth].as_secs_f64() * 1000.0)
    }

    pub fn p50_ms(&self) -> f64 {
        self.within_ms(500).unwrap_or(f64::NAN)
    }
}

/// The middle one of several.
pub fn middle(mut of: Vec<f64>) -> f64 {
    of.sort_unstable_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Does something over and over, so many at once, for a while or until it was begun `most` times.
pub async fn fly<F, Doing>(at_once: usize, most: usize, doing: F) -> Speed
where
    F: Fn() -> Doing + Clone + Send + 'static,
    Doing: Future<Output = ()> + Send,
{
    fly_for(SPAN, at_once, most, doing).await
}

/// The same for so long.
pub async fn fly_for<F, Doing>(span: Duration, at_once: usize, most: usize, doing: F) -> Speed
where
    F: Fn() -> Doing + Clone + Send + 'static,
    Doing: Future<Output = ()> + Send,
{
    let (begun, left) = (Instant::now(), Arc::new(AtomicUsize::new(most)));
    let tasks: Vec<_> = (0..at_once)
        .map(|_| {
            let (doing, left) = (doing.clone(), Arc::clone(&left));
            let one_more = move || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            tokio::spawn(async move {
                let mut each = Vec::new();
                while begun.elapsed() < span && one_more().is_ok() {
                    let begun = Instant::now();
                    doing().await;
                    each.push(begun.elapsed());
                }
                each
            })
        })
        .collect();
    let mut each = Vec::new();
    for task in tasks {
        each.extend(task.await.expect("nothing breaks"));
    }
    Speed::new(each.len(), begun.elapsed(), each)
}

/// The same with threads, for what makes its thread wait.
pub fn thread<F: Fn() -> D + Sync, D: FnMut()>(at_once: usize, doing: F) -> Speed {
    let begun = Instant::now();
    let work = || {
        let (mut doing, mut each) = (doing(), Vec::new());
        while begun.elapsed() < SPAN {
            let begun = Instant::now();
            doing();
            each.push(begun.elapsed());
        }
        each
    };
    let each: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        let each = threads.into_iter().map(|thread| thread.join().expect("nothing breaks"));
        each.flatten().collect()
    });
    Speed::new(each.len(), begun.elapsed(), each)
}

/// Everything measured so far.
pub struct Sheet(Vec<Value>);

/// The profile this was built with, as far as it can tell.
pub const PROFILE: &str = if cfg!(debug_assertions) { "dev" } else { "release" };

impl Sheet {
    pub fn begin() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!("{PROFILE} profile, {cores} cores, every message and every commit on disk before it counts\n");
        println!(
            "{:<36} {:>7} {:>11} {:>9} {:>9} {:>9}",
            "", "at once", "per second", "p50 ms", "p99 ms", "p99.9 ms"
        );
        Self(vec![json!({ "profile": PROFILE, "cores": cores })])
    }

    pub fn speed(&mut self, what: &str, at_once: usize, speed: &Speed) {
        let [p50, p99, p999] = [500, 990, 999].map(|share| speed.within_ms(share));
        let ms = |ms: Option<f64>| ms.map_or_else(String::new, |ms| format!("{ms:.2}"));
        println!(
            "{what:<36} {at_once:>7} {:>11.0} {:>9} {:>9} {:>9}",
            speed.per_second,
            ms(p50),
            ms(p99),
            ms(p999)
        );
        self.0
            .push(json!({ "what": what, "atOnce": at_once, "perSecond": speed.per_second,
            "p50Ms": p50, "p99Ms": p99, "p999Ms": p999 }));
    }

    pub fn value(&mut self, what: &str, value: f64, unit: &str) {
        println!("{what:<36} {:>7} {value:>11.2} {unit}", "");
        self.0.push(json!({ "what": what, "value": value, "unit": unit }));
    }

    /// Says what was to be reached and what was, and writes all of it down.
    pub fn end(self, goals: Vec<Goal>, path: &Path) {
        println!("\n{:<76} {:>8} {:>8}", "", "measured", "goal");
        for goal in &goals {
            println!("{goal}");
        }
        let goals: Vec<Value> = goals.iter().map(Goal::json).collect();
        let text = json!({ "rows": self.0, "goals": goals });
        std::fs::write(path, format!("{text:#}\n")).expect("a place for the numbers");
        println!("\nalso in {}", path.display());
    }
}
