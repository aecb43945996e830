//! Maru from the outside: the real binary, a data folder of its own for every test, and HTTP.
//!
//! `house` starts and stops it, `provider` is the AI on the other side; the other files tell what
//! people see. Nothing here knows how Maru is built.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that fails says where")]

mod ai;
mod books;
mod documents;
mod door;
mod house;
mod kill;
mod live;
mod money;
mod people;
mod person;
mod provider;
mod refused_starts;
mod repeats;
mod reviews;
mod story;
