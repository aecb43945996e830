//! Flows: what follows from what happened. Each is one page, pure, and named by nobody.

pub mod authoring;
pub mod checkout;

use maru_streams::flow::Flow;

/// Every flow of the house.
#[must_use]
pub fn all() -> [Flow; 2] {
    [authoring::FLOW, checkout::FLOW]
}

#[cfg(test)]
mod tests;
