//! Whether a process is well, and whether it takes work. It is not well when something in it has failed for
//! good that starting it again may mend; that a part it needs is away is no such thing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a process is.
#[derive(Clone, Default)]
pub struct Health(Arc<Parts>);

#[derive(Default)]
struct Parts {
    /// What is not well: which part, and why.
    troubles: Mutex<BTreeMap<String, &'static str>>,
    takes_work: AtomicBool,
}

impl Health {
    // A panic while it is held leaves a whole map behind.
    fn parts(&self) -> MutexGuard<'_, BTreeMap<String, &'static str>> {
        self.0.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part is well, or well again.
    pub fn well(&self, part: &str) {
        self.parts().remove(part);
    }

    /// A part is not well.
    pub fn unwell(&self, part: &str, why: &'static str) {
        self.parts().insert(part.to_owned(), why);
    }

    /// Everything that is not well; nothing, in a process that should go on.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<String, &'static str> {
        self.parts().clone()
    }

    /// It takes work from now on, or takes no more.
    pub fn takes_work(&self, does: bool) {
        self.0.takes_work.store(does, Ordering::Release);
    }

    /// Whether it takes work: it has started, and is not ending.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.takes_work.load(Ordering::Acquire)
    }
}
