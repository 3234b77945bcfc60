//! The store on SQLite: what every store does, and what only a file can show.
#![cfg(feature = "sqlite")]

mod batches;
mod commits;
#[cfg(feature = "testing")]
mod conformance;
mod costs;
#[path = "../joining/mod.rs"]
mod joining;
mod kit;
mod opening;
#[path = "../outage/mod.rs"]
mod outage;
#[path = "../shapes/mod.rs"]
mod shapes;
mod sharing;
#[path = "../together/mod.rs"]
mod together;
mod transactions;
mod workflows;
