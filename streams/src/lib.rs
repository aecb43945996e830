//! # How it travels
//!
//! The machinery between the rooms, which knows no room by name. Read it in the way a command goes:
//!
//! 1. [`subject`] and [`topology`] say which streams there are and what lies under which subject;
//! 2. [`publish`] puts a message into a stream and waits until the server has it on disk;
//! 3. [`jobs`] takes it out again, once, with retries and a fate for every failure; what it gives up on
//!    becomes one of the dead [`letters`], which operators replay or discard;
//! 4. [`write`] decides it and commits inbox, state, events and outbox in one transaction, and
//!    carries the events to EVENTS in the order of their versions;
//! 5. [`flow`] turns an event into intentions, [`effects`] keeps the outside world from being asked
//!    twice, [`partial`] keeps what a long job has made so far, [`views`] folds events into rows that people read.
//!
//! [`heal`] brings back what the database has lost, from what the streams hold; [`backup`] copies both while
//! they are at work, and puts them back.
//! [`schedule`] is what happens later and by the clock, [`janitor`] and [`retention`] take away what nobody
//! needs any more, and [`leases`] are the right to be the only one.
//!
//! [`store`] is the database, [`nats`] the connection, [`server`] a nats-server of our own, and
//! [`durability`] the truth about all of them. [`spans`] join what many processes do into one trace.
//! [`oracle`] judges afterwards whether it all came true.

/// For who counts and tells on the floors above: the same as here, so that all of it goes to one place.
pub use {metrics, tracing};

pub mod backup;
pub mod batches;
pub mod budgets;
pub mod contract;
pub mod deploy;
pub mod desk;
pub mod doctor;
pub mod durability;
pub mod effects;
pub mod flow;
mod headers;
pub mod heal;
pub mod intention;
pub mod janitor;
pub mod jobs;
pub mod lanes;
pub mod leases;
pub mod letters;
pub mod nats;
pub mod objects;
pub mod oracle;
pub mod partial;
pub mod publish;
pub mod retention;
mod scan;
pub mod schedule;
pub mod server;
pub mod spans;
pub mod store;
pub mod subject;
pub mod tail;
pub mod topology;
pub mod trace;
pub mod views;
pub mod write;

#[cfg(feature = "testing")]
#[expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]
pub mod testing;
