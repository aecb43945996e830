//! # For tests
//!
//! Real servers, temporary and alone: a nats-server on a free port and a database for each test. A
//! clock that can be moved, a proxy that can cut a connection, and two ways to make a handler's life
//! hard: [`faults::CrashOnce`] ends it at any of its steps, [`faults::Twice`] gives it everything twice.

pub mod faults;
mod proxy;
mod world;

pub use proxy::Proxy;
pub use world::{MovableClock, World, program, until};
