//! Actors with bounded mailboxes for async Rust, and durable workflows run by those actors.

pub mod actor;
mod mailbox;
#[cfg(feature = "orchestration")]
pub mod orchestration;
pub mod registry;
pub mod supervision;
pub mod telemetry;
