//! Actors with bounded mailboxes for async Rust, and durable workflows run by those actors.
