//! The published documents that are generated from the types: one JSON Schema a message kind, and
//! the AsyncAPI 3.0 description of the streams. They are committed under `schemas/`, and a test
//! fails when they drift.
