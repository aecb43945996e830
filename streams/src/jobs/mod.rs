//! # The job engine
//!
//! Durable work on JetStream. A **lane** is one consumer with its own queue, slots, retries and dead
//! letters, so that one room's fire stays in that room. apalis drives it: it asks our [`backend`] for
//! the next task, runs it, and drains what is in flight when told to stop.
//!
//! ```text
//!  server ──pull──▶ Session ──▶ Lease ──▶ apalis ──▶ Handler ──▶ Verdict ──▶ settle
//!                      ▲           │ one slot, one heartbeat, given back wherever it is dropped
//!                      └── pulls what it may hold: its free slots, and seldom more
//! ```
//!
//! A handler returns a [`Verdict`] and nothing else decides a message's fate. Everything but
//! [`backend`] and the run loop in [`lane`] is free of apalis' types.

mod arrival;
mod attempts;
mod back;
mod backend;
mod before;
pub(crate) mod breaker;
pub mod canary;
mod dead;
mod delivery;
mod ear;
mod gate;
mod health;
mod held;
mod lane;
mod lease;
mod opened;
pub(crate) mod policy;
mod pull;
mod redo;
mod run;
mod session;
mod settle;
mod turns;
mod verdict;
mod work;

pub use breaker::Trip;
pub(crate) use dead::carried;
pub use delivery::{Delivery, Handler};
pub(crate) use ear::settled_up_to;
pub use health::Health;
pub(crate) use lane::consumers;
pub use lane::{Engine, Lane, Running};
pub use policy::{Policy, Rate};
pub use session::{Next, Session, SessionError};
pub use verdict::{Reason, Verdict};
