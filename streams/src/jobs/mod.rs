//! # The job engine
//!
//! Durable work on JetStream. A **lane** is one consumer with its own queue, slots, retries and dead
//! letters, so that one room's fire stays in that room. apalis drives it: it asks our [`backend`] for
//! the next task, runs it, and drains what is in flight when told to stop.
//!
//! ```text
//!  server ──pull──▶ Session ──▶ Lease ──▶ apalis ──▶ Handler ──▶ Verdict ──▶ settle
//!                      ▲           │ one slot, one heartbeat, given back wherever it is dropped
//!                      └── pulls exactly the free slots
//! ```
//!
//! A handler returns a [`Verdict`] and nothing else decides a message's fate. Everything but
//! [`backend`] and the run loop in [`lane`] is free of apalis' types.

mod attempts;
mod backend;
mod dead;
mod delivery;
mod lane;
mod lease;
mod policy;
mod session;
mod settle;
mod verdict;
mod watch;
mod work;

pub use dead::DeadLetter;
pub use delivery::{Delivery, Handler};
pub use lane::{Engine, Lane, Running};
pub use policy::Policy;
pub use session::{Next, Session, SessionError};
pub use verdict::{Reason, Verdict};
pub use watch::watch;
