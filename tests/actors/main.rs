//! One actor and its mailbox: messages, bounds, life, ends, supervision.

#[path = "../common/mod.rs"]
mod common;

mod asks;
mod backpressure;
mod backpressure_model;
mod blocking;
mod deadlines;
mod direct;
mod endings;
mod enqueue;
mod failure_matrix;
mod fairness;
mod in_place;
mod life;
mod messages;
mod overflow;
mod redelivery;
mod replies;
mod restarts;
mod schedules;
#[cfg(feature = "testing")]
mod stepped;
#[cfg(feature = "testing")]
mod test_kit;
mod told_in_place;
