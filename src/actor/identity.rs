//! Who an actor is, and which actor's code is running on this thread.
//!
//! The second is what turns a self-ask, which could never end, into an error, lets an ask inherit the
//! deadline of the handler that makes it, and bounds how deep handlers run inside each other's tasks.

use std::cell::Cell;
use std::fmt;
use tokio::time::Instant;

/// An actor's number: unique in the process, and the same across restarts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(u64);

impl ActorId {
    /// The number of an actor's mailbox is the actor's.
    pub(crate) const fn of_mailbox(number: u64) -> Self {
        Self(number)
    }

    #[cfg(debug_assertions)]
    pub(super) const fn number(self) -> u64 {
        self.0
    }

    /// Whether this thread is polling this actor's handler or hook.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        SCOPE.with(|scope| scope.actor.get() == self.0)
    }

    /// Marks this thread as polling this actor until the guard is dropped.
    #[inline]
    pub(crate) fn enter(self) -> Entered {
        SCOPE.with(|scope| {
            scope.depth.set(scope.depth.get() + 1);
            Entered {
                actor: scope.actor.replace(self.0),
                deadline: scope.deadline.replace(None),
            }
        })
    }
}

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Whose code runs on this thread.
struct Scope {
    /// The innermost actor's number, or 0, which no actor has.
    actor: Cell<u64>,
    /// How many actors' code is on the stack.
    depth: Cell<u32>,
    /// When the innermost handler should be done.
    deadline: Cell<Option<Instant>>,
}

thread_local! {
    static SCOPE: Scope = const {
        Scope {
            actor: Cell::new(0),
            depth: Cell::new(0),
            deadline: Cell::new(None),
        }
    };
}

/// Restores what was current before.
#[must_use]
pub(crate) struct Entered {
    actor: u64,
    deadline: Option<Instant>,
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        SCOPE.with(|scope| {
            scope.actor.set(self.actor);
            scope.deadline.set(self.deadline);
            scope.depth.set(scope.depth.get() - 1);
        });
    }
}

/// The number of the actor whose code this thread is running, or 0.
#[cfg(debug_assertions)]
pub(super) fn current() -> u64 {
    SCOPE.with(|scope| scope.actor.get())
}

/// The deadline of the handler that this thread is polling.
#[inline]
pub(crate) fn current_deadline() -> Option<Instant> {
    SCOPE.with(|scope| scope.deadline.get())
}

/// Says when the handler that this thread is polling should be done; forgotten when the actor is left.
#[inline]
pub(crate) fn set_deadline(deadline: Option<Instant>) {
    if deadline.is_some() {
        SCOPE.with(|scope| scope.deadline.set(deadline));
    }
}

/// How many actors' code is on this thread's stack.
#[inline]
pub(crate) fn depth() -> u32 {
    SCOPE.with(|scope| scope.depth.get())
}
