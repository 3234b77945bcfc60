//! Actors: what a user implements, what a user holds, and the loop between them.
//!
//! An [`Actor`] owns its state and handles one message at a time, with `&mut self`, across awaits. The
//! rest of the program holds a [`Handle`]: it [tells](Handle::tell) or [asks](Handle::ask). Every
//! message waits in the actor's bounded mailbox, so that a sender which is faster than the actor waits
//! too.
//!
//! Actors run on any tokio runtime. One without a clock (`enable_time`) will do as long as nothing has
//! to wait for one: no timeout, no backoff, no hook that is not ready at once, no registry's shutdown.
//!
//! How it behaves is written down, clause by clause with the tests that prove it, in
//! [`semantics`](crate::semantics).
#![doc = include_str!("writing_an_actor.md")]

mod ask;
mod blocking;
mod builder;
#[cfg(debug_assertions)]
mod circle;
mod context;
mod delivery;
mod direct;
mod dispatch;
mod error;
mod exit;
mod grouped;
mod guard;
mod handle;
mod handling;
mod hook;
mod identity;
mod in_place;
mod message;
mod pending;
mod permit;
mod problems;
mod recipient;
mod redelivery;
mod reply;
mod resident;
mod run;
mod shared;
mod spans;
mod target;
mod tell;
mod traits;

pub use crate::mailbox::{Account, Level, MailboxStats};
pub use ask::Ask;
pub(crate) use blocking::wait;
pub use builder::{Builder, SpawnError};
pub(crate) use builder::{DEFAULT_CAPACITY, Limits, Managed, Mould, Seat};
pub use context::Context;
pub(crate) use delivery::Destination;
pub use direct::{Call, Direct, DirectTell};
pub use dispatch::Dispatch;
pub use error::{AskError, AskFailure, Executed, SendError};
pub use exit::{Exit, Hook, HookProblem, StopReason, Trouble};
pub use handle::{Handle, WeakHandle};
pub use identity::ActorId;
pub use message::Message;
pub use pending::{Enqueue, PendingReply};
pub use permit::{Closed, Permit};
pub use recipient::Recipient;
pub use redelivery::Redelivery;
pub use reply::{Batch, Reply};
pub use tell::Tell;
pub use traits::{Actor, Handler, Receive};
