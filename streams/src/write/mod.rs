//! # The write side
//!
//! One command, one transaction, one outcome:
//!
//! ```text
//! COMMANDS ─▶ decide ─▶ { inbox · state · events · outbox } ─▶ EVENTS ─▶ answer ─▶ outbox cleared
//! ```
//!
//! [`transact`] decides and commits (several commands together, if several wait), [`inbox`] remembers what became of it, [`outbox`] carries the events to the stream in the order of their
//! versions, [`waiting`] says for how long they waited, and [`commands`] is the lane's handler that does one after the other. A crash between any
//! two steps is mended by the redelivery, by the next command of the same aggregate, or by the sweeper.

mod clear;
pub mod commands;
mod company;
mod deciding;
pub mod inbox;
pub mod outbox;
pub(crate) mod rows;
pub mod states;
pub mod transact;
pub mod waiting;
