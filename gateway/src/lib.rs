//! # How the world talks to us
//!
//! The door. A request that wants something becomes a command in JetStream ([`accept`]) and is answered
//! with what became of it; a request that asks something reads rows ([`look`]). Nothing is decided here,
//! and the door works while the workers are away.
//!
//! Start with [`routes`]; every error that leaves the door is made in [`problem`].

pub mod accept;
pub mod administrator;
pub mod documents;
pub mod door;
pub mod keys;
pub mod limits;
pub mod live;
pub mod look;
pub mod outcomes;
pub mod password;
pub mod problem;
pub mod proxies;
pub mod routes;
pub mod sse;
pub mod story;
pub mod superseded;
pub mod valid;
pub mod waits;
pub mod who;

pub use door::{Door, Settings, serve};
