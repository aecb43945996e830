//! # For tests
//!
//! Real servers, temporary and alone: a nats-server on a free port and a database for each test. A
//! clock that can be moved, a proxy that can cut a connection, and two ways to make a handler's life
//! hard: [`faults::CrashOnce`] ends it at any of its steps, [`faults::Twice`] gives it everything twice.
//! [`loss`] lets a database lose what it had.
//! [`conformance`] is what every lane promises its handlers, as checks.

pub mod conformance;
pub mod faults;
pub mod loss;
mod proxy;
mod raw;
mod world;

pub use proxy::Proxy;
pub use raw::raw_loop;
pub use world::{MovableClock, World, program, until};
