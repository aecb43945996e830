//! # Read views
//!
//! A view folds EVENTS into rows that people read. Rows and the mark that says how far it has read are
//! written in one transaction, so each event takes effect once, whatever happens in between.
//!
//! [`reader`] reads the stream in order and in batches, [`rows`] is what a fold sees of the database.

mod reader;
mod rows;

pub use reader::{View, forget, mark, read};
pub use rows::{FoldError, Rows, newest_first};
