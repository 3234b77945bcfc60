//! Several processes on one database: killed, stopped, cut off, replaced, and completing at the same instant.
//! The same tests for an `SQLite` file and for `PostgreSQL`.
//!
//! ```sh
//! cargo test --all-features --test processes
//! POSTROOM_CRASH_KILLS=500 cargo test --all-features --test processes crash      # the long form, with a report
//! ```
#![cfg(target_os = "linux")]

mod crash;
mod joins;
mod opening;
mod place;
mod rolling;
#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../server/mod.rs"]
mod server;

use server::cluster;
