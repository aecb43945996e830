//! The flows on real servers: a book is written and sold, with a crash at every step of every lane, and
//! with every message delivered twice. Whatever happens on the way, at the end there is one story, one
//! charge, one refund, and nothing is left lying.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod clock;
mod copies;
mod following;
mod healing;
mod house;
mod letters;
mod life;
mod money;
mod stories;
mod views;
mod writer;
