//! # What we say
//!
//! The contracts of Maru: commands, events, refusals, the rows of the read views, and the envelope
//! they travel in. Everything here is plain data that serialises; nothing here acts, waits or asks
//! for the time. Every other crate stands on this one.
//!
//! Read [`message`] for what a context's contract is made of, then [`books`] for one that is rich,
//! then [`envelope`] for how a message travels.

pub mod envelope;
pub mod ids;
pub mod images;
pub mod message;
pub mod outcome;
pub mod refusal;

pub mod books;
pub mod jobs;
pub mod members;
pub mod payments;
pub mod purchases;
pub mod reviews;

pub mod documents;
pub mod letters;
pub mod replays;
pub mod surreal;
pub mod views;
pub mod words;

/// Every context of the house: the one list that subjects, tables, routes, consumers and the tidy
/// test are held against.
pub const CONTEXTS: [&str; 5] = [
    members::CONTEXT,
    books::CONTEXT,
    payments::CONTEXT,
    purchases::CONTEXT,
    reviews::CONTEXT,
];
