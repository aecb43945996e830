//! Maru from the outside: the real binary, a data folder of its own for every test, and HTTP.
//!
//! `house` starts and stops it (`form` says in how many processes), `provider` is the AI on the other side; the other files tell what
//! people see. Nothing here knows how Maru is built, but `planted`, which is one with a bug for `verify` to find.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that fails says where")]

mod ai;
mod backup;
mod books;
mod cluster;
mod collector;
mod documents;
mod door;
mod doors;
mod form;
mod heal;
mod house;
mod kill;
mod letters;
mod listening;
mod live;
mod money;
mod operators;
mod people;
mod person;
mod planted;
mod process;
mod provider;
mod refused_starts;
mod repeats;
mod resumed;
mod reviews;
mod rooms;
mod split;
mod story;
mod streams;
mod traces;
mod verify;
mod views;
