//! Maru from the outside: the real binary, a data folder of its own for every test, and HTTP.
//!
//! `house` starts and stops it, `provider` is the AI on the other side; the other files tell what
//! people see. Nothing here knows how Maru is built.

mod ai;
mod books;
mod door;
mod house;
mod kill;
mod live;
mod money;
mod people;
mod provider;
mod refused_starts;
mod reviews;
mod story;
