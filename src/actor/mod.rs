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
mod asker;
mod blocking;
mod builder;
#[cfg(debug_assertions)]
mod circle;
mod context;
mod delivery;
mod direct;
mod dispatch;
mod ending;
mod error;
mod exit;
#[cfg(feature = "testing")]
mod faults;
mod giving_way;
mod grouped;
mod guard;
mod handle;
mod handling;
mod held;
mod hook;
mod identity;
mod in_place;
mod life;
mod message;
mod name;
mod overflow;
mod pending;
mod permit;
mod problems;
mod recipient;
mod redelivery;
mod reply;
mod resident;
mod run;
#[cfg(feature = "metrics")]
mod samples;
mod sending;
mod shared;
mod spans;
#[cfg(feature = "testing")]
mod stepper;
mod target;
mod tell;
mod traits;
mod watch;

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
#[cfg(feature = "testing")]
pub use faults::Faults;
pub use handle::{Handle, WeakHandle};
pub(crate) use held::Held;
pub use identity::ActorId;
pub use message::Message;
pub use name::ActorName;
pub use overflow::{Overflow, Told};
pub use pending::{Enqueue, PendingReply};
pub use permit::{Closed, OwnedPermit, Permit};
pub use recipient::Recipient;
pub use redelivery::Redelivery;
pub use reply::{Batch, Reply};
#[cfg(feature = "metrics")]
pub(crate) use samples::time_one_in;
#[cfg(feature = "testing")]
pub use stepper::{Step, Stepper};
pub use tell::Tell;
pub use traits::{Actor, Handler, Receive};
