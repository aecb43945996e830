//! Whether a process is well. It is not when something in it has failed for good that starting it again
//! may mend; that a part it needs is away is no such thing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is not well in a process: which part, and why.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, &'static str>>>);

impl Health {
    // A panic while it is held leaves a whole map behind.
    fn parts(&self) -> MutexGuard<'_, BTreeMap<String, &'static str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
}
