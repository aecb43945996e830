//! # Looking after lanes
//!
//! What operators see of lanes, and what they can do to one. All of it is read from the servers, so every
//! process says the same, and a lane is seen where no worker of it runs.
//!
//! [`seen`] is what the server tells of a consumer at one moment; [`pace`] makes of several such moments how
//! fast a lane settles and how long what waits will take; [`watch`] looks again and again and exports it;
//! [`status`] adds what is dead and how old the oldest is; [`pause`] stops a lane and lets it go on.

mod letters;
mod pace;
mod pause;
mod seen;
mod status;
mod watch;

pub use letters::open_letters;
pub use pace::Pace;
pub use pause::{Drained, Pause, PauseError, drain, pause, paused, resume};
pub(crate) use seen::timestamp;
pub use seen::{Seen, look};
pub(crate) use status::fill;
pub use status::{Health, LaneStatus, Status, StreamStatus, ViewStatus, status};
pub use watch::{Paces, watch};
