//! Actors with bounded mailboxes for async Rust, and durable workflows run by those actors.

pub mod actor;
mod mailbox;
pub mod patterns;
pub mod registry;
pub mod supervision;
pub mod telemetry;

#[cfg(feature = "orchestration")]
pub mod orchestration;
