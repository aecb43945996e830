//! The outside world: what we ask of it, and who answers. Each port is a trait with a real side and an
//! embedded default, so that Maru runs whole without anybody else.

pub mod ai;
pub mod bank;
pub mod openai;
pub mod sandbox;
pub mod sketch;
pub(crate) mod watched;
