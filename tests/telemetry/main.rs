//! What actors tell their operators: logs, spans, metrics, and what an observer sees.
//!
//! A program of its own: subscribers come and go here, and the level that all of them ask for is one for a process.

#[path = "../common/mod.rs"]
mod common;

#[cfg(debug_assertions)]
mod circles;
mod logs;
#[cfg(feature = "metrics")]
mod metrics;
mod observer;
mod spans;
