//! The mailbox as it is, built for loom without what postroom and its tests depend on: that takes a fraction of the time.

// Whoever uses it is not here.
#![allow(dead_code, unused_imports, unreachable_pub)]

#[cfg(postroom_loom)]
#[path = "../../src/mailbox/mod.rs"]
mod mailbox;
