//! When and how soon an actor that has failed is started again.
//!
//! This layer decides and does nothing else: it knows no actor and holds no task. The run loop asks
//! a [`RestartPolicy`] after each incarnation, waits as long as it says, and starts the next one, in
//! the same task, so that two incarnations can never overlap.
//!
//! The mailbox, the messages that wait in it and all handles survive a restart. The message whose
//! handler panicked is consumed: its asker gets [`Panicked`](crate::actor::AskError::Panicked).

mod backoff;
mod group;
mod intensity;
mod policy;
mod strategy;

pub use backoff::Backoff;
pub(crate) use group::{Group, Membership, Peer};
pub(crate) use intensity::Intensity;
pub use policy::RestartPolicy;
pub use strategy::Strategy;
