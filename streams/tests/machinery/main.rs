//! The machinery against a real nats-server and a real database: what is published is stored, what is
//! delivered is done once, what is decided is committed whole, and what is seen follows from it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails says where"
)]

mod backlog;
mod batches;
mod clockwork;
mod conformance;
mod deploying;
mod desk;
mod effects;
mod far_behind;
mod gates;
mod guards;
mod healing;
mod hearing;
mod lanes;
mod leases;
mod letters;
mod losing;
mod outages;
mod publishing;
mod rebuilding;
mod rooms;
mod seeing;
mod toys;
mod turns;
mod watching;
mod writing;
