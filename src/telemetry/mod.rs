//! What can be read from outside while actors work.
//!
//! Every mailbox counts what becomes of its messages. [`Handle::stats`](crate::actor::Handle::stats),
//! [`Recipient::stats`](crate::actor::Recipient::stats) and
//! [`ActorRegistry::stats`](crate::registry::ActorRegistry::stats) read those counts at one instant:
//! all terms of an [`Account`] belong together, and [`Account::is_balanced`] holds at every instant,
//! not only at the end.

#[cfg(feature = "metrics")]
pub mod metrics;
mod observer;

pub use crate::mailbox::{Account, MailboxStats};
pub use observer::{Observer, Snapshot};
