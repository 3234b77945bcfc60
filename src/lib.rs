//! Actors with bounded mailboxes for async Rust, and durable workflows run by those actors.

#[cfg(feature = "orchestration")]
pub mod orchestration;
