//! Actors with bounded mailboxes for async Rust, and durable workflows run by those actors.

pub mod actor;
mod mailbox;
pub mod registry;
pub mod supervision;
pub mod telemetry;
