//! The line in front of a full mailbox.
//!
//! Slots are granted strictly in the order of the tickets, so a ticket that is no longer in the line
//! has been granted one: that needs no flag and no allocation per waiter.

use super::sync::{AtomicU64, Ordering};
use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// A place in the line. Tickets only rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// The youngest ticket that was granted a slot, and so all before it that have not left the line. It is known without
/// the line's lock.
#[derive(Debug, Default)]
pub(super) struct Served(AtomicU64);

impl Served {
    /// This one was. Called under the line's lock, after the slot is reserved.
    pub(super) fn set(&self, ticket: Ticket) {
        self.0.store(ticket.0, Ordering::Release);
    }

    /// Whether this one was.
    pub(super) fn includes(&self, ticket: Ticket) -> bool {
        ticket.0 <= self.0.load(Ordering::Acquire)
    }
}

/// Boxed when somebody waits for the first time: most mailboxes are never full.
#[derive(Debug, Default)]
pub(super) struct Line(Option<Box<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// The wakers are always there; they are optional to be exchanged like others.
    queue: VecDeque<(Ticket, Option<Waker>)>,
    /// The last ticket that was given. The first is 1: none is served in the beginning.
    last: u64,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.queue.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Joins the line at its end.
    pub(super) fn join(&mut self, waker: Waker) -> Ticket {
        let waiting = self.0.get_or_insert_default();
        waiting.last += 1;
        let ticket = Ticket(waiting.last);
        waiting.queue.push_back((ticket, Some(waker)));
        ticket
    }

    /// If the ticket still waits, it will wake by this waker, and that before comes back. Else the waker itself does.
    pub(super) fn renew(&mut self, ticket: Ticket, waker: Waker) -> Result<Option<Waker>, Waker> {
        match self.find(ticket) {
            Some((waiting, at)) => Ok(waiting.queue[at].1.replace(waker)),
            None => Err(waker),
        }
    }

    /// Whether the ticket still waits.
    #[cfg(debug_assertions)]
    pub(super) fn has(&mut self, ticket: Ticket) -> bool {
        self.find(ticket).is_some()
    }

    /// Leaves the line; false if the ticket was not in it. Its waker goes to `replaced`.
    pub(super) fn leave(&mut self, ticket: Ticket, replaced: &mut Option<Waker>) -> bool {
        let Some((waiting, at)) = self.find(ticket) else {
            return false;
        };
        *replaced = waiting.queue.remove(at).and_then(|(_, waker)| waker);
        true
    }

    /// The longest waiter, who now has a slot and must be woken.
    pub(super) fn grant(&mut self) -> Option<(Ticket, Waker)> {
        let (ticket, waker) = self.0.as_mut()?.queue.pop_front()?;
        waker.map(|waker| (ticket, waker))
    }

    /// Everyone, to be woken.
    pub(super) fn dissolve(&mut self) -> Wakers {
        let mut wakers = Wakers::default();
        while let Some((_, waker)) = self.grant() {
            wakers.push(waker);
        }
        wakers
    }

    fn find(&mut self, ticket: Ticket) -> Option<(&mut Waiting, usize)> {
        let waiting = self.0.as_mut()?;
        // Most often nobody waits any more, or only those that came later: it was granted.
        if waiting
            .queue
            .front()
            .is_none_or(|(first, _)| ticket < *first)
        {
            return None;
        }
        let at = waiting
            .queue
            .binary_search_by_key(&ticket, |(ticket, _)| *ticket)
            .ok()?;
        Some((waiting, at))
    }
}

/// Wakers to be called once no lock is held; most often there is one, which needs no vector.
#[derive(Default)]
#[must_use = "whoever waits is to be woken"]
pub(super) struct Wakers {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Wakers {
    pub(super) fn push(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.rest.push(waker);
        }
    }

    /// A waker that panics, which only one made by hand can, harms neither the others nor the caller: the
    /// panic hook has told of it.
    #[inline]
    pub(super) fn wake(self) {
        if let Some(first) = self.first {
            wake(first);
            self.rest.into_iter().for_each(wake);
        }
    }
}

/// Calls one waker, if no lock is held. One that panics does no harm, as in [`Wakers::wake`].
#[inline]
pub(crate) fn wake(waker: Waker) {
    unharmed(|| waker.wake());
}

/// Drops a waker that is no longer needed, if no lock is held: it may be the last to hold a task, whose drop runs user code.
/// One that panics does no harm.
#[inline]
pub(crate) fn let_go(waker: impl Into<Option<Waker>>) {
    if let Some(waker) = waker.into() {
        unharmed(|| drop(waker));
    }
}

/// Calls code that may panic, which the panic hook then says, and does no harm.
#[inline]
pub(super) fn unharmed(code: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(code)) {
        forget_panic(payload);
    }
}

#[cold]
fn forget_panic(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // A payload whose drop panics could go on so for ever.
        std::mem::forget(second);
    }
}
