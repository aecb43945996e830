//! # How it travels
//!
//! The machinery between the rooms, which knows no room by name. Read it in the way a command goes:
//!
//! 1. [`subject`] and [`topology`] say which streams there are and what lies under which subject;
//! 2. [`publish`] puts a message into a stream and waits until the server has it on disk;
//! 3. [`jobs`] takes it out again, once, with retries and a fate for every failure;
//! 4. [`write`] decides it and commits inbox, state, events and outbox in one transaction, and
//!    carries the events to EVENTS in the order of their versions;
//! 5. [`flow`] turns an event into intentions, [`effects`] keeps the outside world from being asked
//!    twice, [`views`] folds events into rows that people read.
//!
//! [`store`] is the database, [`nats`] the connection, [`server`] a nats-server of our own, and
//! [`durability`] the truth about all of them.

pub mod contract;
pub mod durability;
pub mod effects;
pub mod flow;
pub mod intention;
pub mod jobs;
pub mod nats;
pub mod objects;
pub mod publish;
pub mod server;
pub mod store;
pub mod subject;
pub mod tail;
pub mod topology;
pub mod views;
pub mod write;

#[cfg(feature = "testing")]
#[expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]
pub mod testing;
