//! Bugs that bit other actor libraries, each as a test that this one does not have it.
//!
//! The numbers are those of our list of the peers' bugs. Missing from it, because they cannot happen here:
//!
//! - 25, a receive that is cancelled loses or reorders messages: actors have no `next()` to cancel.
//! - 26, a mailbox shrunk below its use: the capacity is fixed before the actor starts.
//! - 27, an unbounded send inflates the capacity: there is no unbounded send.
//! - 40, a slow subscriber is lost: there is no publishing to many subscribers.
//! - 45, races that only a model checker finds: its tests stand beside the mailbox.

#[path = "../common/mod.rs"]
mod common;

mod asks;
mod blocking;
mod mailbox;
mod shutdown;
mod supervision;
mod telemetry;
mod timers;
