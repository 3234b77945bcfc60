//! The bounded mailbox: one queue, many senders, one receiver.
//!
//! This layer knows messages only as envelopes of some type `T`. It decides four things, and nothing
//! above it can decide them differently: who gets a free slot ([`queue`]), in what order accepted
//! envelopes leave, how far an actor has been told to stop ([`Level`]), and how many messages are
//! where ([`Account`]). All of it is behind [`Mailbox`], whose insides nobody else sees, so that the
//! queue can be replaced without touching an actor.
//!
//! [`Cell`] is what an envelope is made of: the message on its way in, then the answer on its way out.

mod account;
mod cell;
mod level;
mod queue;
mod waiting;

pub(crate) use account::Outcome;
pub use account::{Account, MailboxStats};
pub(crate) use cell::{Cell, Conclusion, Expiry, Revocation};
pub use level::Level;
pub(crate) use queue::{Mailbox, Next, Refused};
pub(crate) use waiting::Ticket;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// Locks a mutex whether or not a thread panicked while holding it: no user code ever runs under the
/// locks of this crate, so what they protect is whole even then.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `waker` wake the task of this context. Returns the waker it replaces, to be dropped outside the
/// lock: it may be the last to hold a task, whose drop runs user code.
#[must_use]
fn renew(waker: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    match waker {
        Some(waker) if waker.will_wake(cx.waker()) => None,
        _ => waker.replace(cx.waker().clone()),
    }
}
