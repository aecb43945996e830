//! Work in company: while one group is being worked on, whoever comes meanwhile gathers for the next.
//!
//! A commit of forty costs little more than a commit of one, and nobody waits for a group to fill: who comes alone
//! goes alone, at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as Turn;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::{Instant, sleep_until};

/// The most that go together.
const MOST: usize = 64;
/// Fewer than so many are few: more of them would have cost hardly more.
const FEW: usize = 8;

/// What is worth doing together.
pub(super) trait Together: Send + Sync + 'static {
    /// What each brings.
    type What: Send + Sync;
    /// What each goes away with.
    type Outcome: Send;

    /// How long to rest after few, so that more come together for the next group: nothing, if anybody waits for it.
    const REST: Duration = Duration::ZERO;

    /// Whether these two may not be in one group.
    fn clash(_: &Self::What, _: &Self::What) -> bool {
        false
    }

    /// Works on a group; as many outcomes, in the same order.
    fn work(&self, group: &[Arc<Self::What>]) -> impl Future<Output = Vec<Self::Outcome>> + Send;
}

struct Waiting<W: Together> {
    what: Arc<W::What>,
    done: oneshot::Sender<W::Outcome>,
}

/// Who works, works for all who wait.
pub(super) struct Company<W: Together> {
    work: W,
    waiting: Mutex<Vec<Waiting<W>>>,
    /// When the next group may begin.
    turn: Turn<Instant>,
}

impl<W: Together> Company<W> {
    pub(super) fn new(work: W) -> Self {
        Self {
            work,
            waiting: Mutex::new(Vec::new()),
            turn: Turn::new(Instant::now()),
        }
    }

    /// Has this done, in company if there is any. None if whoever worked for several came back without it.
    pub(super) async fn join(&self, what: Arc<W::What>) -> Option<W::Outcome> {
        let (done, mut told) = oneshot::channel();
        self.queue().push(Waiting { what, done });
        let mut rested = self.turn.lock().await;
        loop {
            match told.try_recv() {
                Ok(outcome) => return Some(outcome),
                Err(TryRecvError::Empty) => {
                    sleep_until(*rested).await;
                    let how_many = self.work_on_a_group().await;
                    // Who does not rest is not to wait for a clock either, which takes a millisecond.
                    if how_many < FEW && !W::REST.is_zero() {
                        *rested = Instant::now() + W::REST;
                    }
                }
                Err(TryRecvError::Closed) => return None,
            }
        }
    }

    // A panic while it is held leaves a whole list behind.
    fn queue(&self) -> MutexGuard<'_, Vec<Waiting<W>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many that were.
    async fn work_on_a_group(&self) -> usize {
        let mut group = Group {
            waiting: self.next(),
            company: self,
        };
        let what: Vec<_> = group.waiting.iter().map(|waiting| Arc::clone(&waiting.what)).collect();
        let outcomes = self.work.work(&what).await;
        for (waiting, outcome) in group.waiting.drain(..).zip(outcomes) {
            // Who was stopped meanwhile does not ask any more.
            let _ = waiting.done.send(outcome);
        }
        what.len()
    }

    /// The longest waiting, as many as may go together; the others keep their places.
    fn next(&self) -> Vec<Waiting<W>> {
        let (mut next, mut left): (Vec<Waiting<W>>, _) = (Vec::new(), Vec::new());
        let mut queue = self.queue();
        for waiting in queue.drain(..) {
            if waiting.done.is_closed() {
                continue;
            }
            let clashes = |other: &Waiting<W>| W::clash(&other.what, &waiting.what);
            if next.len() < MOST && !next.iter().chain(&left).any(clashes) {
                next.push(waiting);
            } else {
                left.push(waiting);
            }
        }
        *queue = left;
        next
    }
}

/// Those who go together. Should the one whose turn it is be stopped before it is done, they wait again, in front.
struct Group<'a, W: Together> {
    company: &'a Company<W>,
    waiting: Vec<Waiting<W>>,
}

impl<W: Together> Drop for Group<'_, W> {
    fn drop(&mut self) {
        self.company.queue().splice(..0, self.waiting.drain(..));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::{Semaphore, mpsc};

    use super::*;

    /// Says who goes together, and lets a group pass when it is told to.
    struct Door {
        came: mpsc::UnboundedSender<Vec<u32>>,
        open: Arc<Semaphore>,
    }

    impl Together for Door {
        type What = u32;
        type Outcome = u32;

        fn clash(one: &u32, other: &u32) -> bool {
            one % 10 == other % 10
        }

        async fn work(&self, group: &[Arc<u32>]) -> Vec<u32> {
            let group: Vec<u32> = group.iter().map(|what| **what).collect();
            self.came.send(group.clone()).expect("somebody looks");
            self.open.acquire().await.expect("never closed").forget();
            group.into_iter().map(|what| what * 2).collect()
        }
    }

    type Came = mpsc::UnboundedReceiver<Vec<u32>>;

    fn door() -> (Arc<Company<Door>>, Came, Arc<Semaphore>) {
        let (came, groups) = mpsc::unbounded_channel();
        let open = Arc::new(Semaphore::new(0));
        let door = Door {
            came,
            open: Arc::clone(&open),
        };
        (Arc::new(Company::new(door)), groups, open)
    }

    fn join(company: &Arc<Company<Door>>, what: u32) -> tokio::task::JoinHandle<Option<u32>> {
        let company = Arc::clone(company);
        tokio::spawn(async move { company.join(Arc::new(what)).await })
    }

    async fn until_waiting(company: &Company<Door>, how_many: usize) {
        while company.queue().len() < how_many {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_comes_meanwhile_goes_together_but_not_with_its_like() {
        let (company, mut groups, open) = door();
        let first = join(&company, 1);
        assert_eq!(groups.recv().await, Some(vec![1]));
        let mut others = Vec::new();
        for (nth, what) in [2, 3, 12, 4, 22].into_iter().enumerate() {
            others.push(join(&company, what));
            until_waiting(&company, nth + 1).await;
        }
        open.add_permits(4);
        assert_eq!(first.await.expect("whole"), Some(2));
        let mut doubled = Vec::new();
        for other in others {
            doubled.push(other.await.expect("whole").expect("an outcome"));
        }
        assert_eq!(doubled, [4, 6, 24, 8, 44]);
        assert_eq!(groups.recv().await, Some(vec![2, 3, 4]));
        assert_eq!(groups.recv().await, Some(vec![12]));
        assert_eq!(groups.recv().await, Some(vec![22]));
    }

    #[tokio::test]
    async fn who_worked_for_several_and_was_stopped_leaves_the_others_to_the_next() {
        let (company, mut groups, open) = door();
        let first = join(&company, 1);
        assert_eq!(groups.recv().await, Some(vec![1]));
        let leader = join(&company, 2);
        until_waiting(&company, 1).await;
        let follower = join(&company, 3);
        until_waiting(&company, 2).await;
        open.add_permits(1);
        assert_eq!(first.await.expect("whole"), Some(2));
        assert_eq!(groups.recv().await, Some(vec![2, 3]));
        leader.abort();
        assert!(leader.await.is_err());
        open.add_permits(1);
        assert_eq!(follower.await.expect("whole"), Some(6));
        // Who is gone is not worked for again.
        let again = tokio::time::timeout(Duration::from_secs(10), groups.recv());
        assert_eq!(again.await.expect("a group"), Some(vec![3]));
    }

    struct Unhurried(mpsc::UnboundedSender<Vec<u32>>);

    impl Together for Unhurried {
        type What = u32;
        type Outcome = ();

        const REST: Duration = Duration::from_millis(25);

        async fn work(&self, group: &[Arc<u32>]) -> Vec<()> {
            self.0
                .send(group.iter().map(|what| **what).collect())
                .expect("somebody looks");
            vec![(); group.len()]
        }
    }

    #[tokio::test]
    async fn who_was_alone_was_through_at_once_and_those_after_it_go_together() {
        let (came, mut groups) = mpsc::unbounded_channel();
        let company = Company::new(Unhurried(came));
        let join = |what| company.join(Arc::new(what));
        assert_eq!(join(1).await, Some(()));
        assert_eq!(tokio::join!(join(2), join(3)), (Some(()), Some(())));
        assert_eq!(groups.recv().await, Some(vec![1]));
        assert_eq!(groups.recv().await, Some(vec![2, 3]));
    }
}
