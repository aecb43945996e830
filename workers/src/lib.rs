//! # What we do
//!
//! Ground floor: [`contexts`], which decide. On it, naming contexts but named by none: [`flows`] (events
//! to intentions), [`jobs`] (effects on the outside world, through [`ports`]) and [`views`] (events to
//! rows that people read). [`house`] lists them all and starts the ones that a process is to run; [`desk`]
//! lists what operators may ask, [`clock`] what comes round by itself, and [`heal`] brings back what the
//! database has lost.

pub mod clock;
pub mod contexts;
pub mod desk;
pub mod facts;
pub mod flows;
pub mod heal;
pub mod house;
pub mod jobs;
pub mod ports;
pub mod views;
