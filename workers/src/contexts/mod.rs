//! The ground floor: each context decides its own commands and owns its own tables. None names
//! another. Every one has the same chapters: `mod.rs` tells the story, `decide` says what may happen,
//! `evolve` what it leaves behind, `tests` shows both as sentences.

pub mod books;
pub mod members;
pub mod payments;
pub mod purchases;
pub mod reviews;

#[cfg(test)]
mod given;
