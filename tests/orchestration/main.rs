//! Workflows through the actors, on the in-memory store.
#![cfg(feature = "orchestration")]

#[path = "../unreliable/mod.rs"]
mod unreliable;

mod events;
mod faults;
#[cfg(feature = "testing")]
mod memory;
mod operators;
mod overload;
mod workflows;
