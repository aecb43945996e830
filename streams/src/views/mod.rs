//! # Read views
//!
//! A view folds EVENTS into rows that people read. Rows and the mark that says how far it has read are
//! written in one transaction, so each event takes effect once, whatever happens in between.
//!
//! [`view`] is what one has to say to have a view, [`rows`] what its fold sees of the database. [`reader`]
//! reads the stream in order and in batches, [`batch`] folds and commits them, while [`ahead`] prepares the
//! next. [`served`] is what the server knows of that.
//!
//! The rows of a view have two places ([`colour`]). People read one ([`look`]); in the other the next
//! version is built, compared and swapped in without anybody noticing: [`plan`] says what is to become
//! of it, [`build`] brings that about, [`compare`] finds what it says otherwise, [`clear`] takes rows
//! away. [`chain`] tells whether the database has lost a batch, [`status`] tells operators how everything stands, and [`desk`] takes their orders.

mod ahead;
mod batch;
mod build;
mod chain;
mod clear;
mod colour;
mod compare;
mod desk;
mod look;
mod plan;
mod reader;
mod rows;
mod served;
mod status;
mod view;

pub use chain::{is_whole, trust};
pub use clear::forget;
pub use colour::Colour;
pub use compare::{Comparison, Difference, How};
pub use desk::answering;
pub use look::{Look, get, page};
pub use plan::Stage;
pub use reader::read;
pub use rows::{FoldError, Rows, newest_first};
pub use status::{mark, watch};
pub use view::View;
