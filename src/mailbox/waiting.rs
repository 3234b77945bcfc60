//! The line in front of a full mailbox.
//!
//! Slots are granted strictly in the order of the tickets, so a ticket that is no longer in the line
//! has been granted one: that needs no flag and no allocation per waiter.

use super::renew;
use std::collections::VecDeque;
use std::task::{Context, Waker};

/// A place in the line. Tickets only rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

#[derive(Debug, Default)]
pub(super) struct Line {
    /// The wakers are always there; they are optional to be exchanged like others.
    waiting: VecDeque<(Ticket, Option<Waker>)>,
    next: u64,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Joins the line at its end.
    pub(super) fn join(&mut self, cx: &Context<'_>) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.push_back((ticket, Some(cx.waker().clone())));
        ticket
    }

    /// Whether the ticket still waits; if so it will wake this context's task. The waker that it no
    /// longer needs goes to `replaced`.
    pub(super) fn still_waits(
        &mut self,
        ticket: Ticket,
        cx: &Context<'_>,
        replaced: &mut Option<Waker>,
    ) -> bool {
        let found = self.find(ticket);
        if let Ok(at) = found {
            *replaced = renew(&mut self.waiting[at].1, cx);
        }
        found.is_ok()
    }

    /// Leaves the line; false if the ticket was not in it. Its waker goes to `replaced`.
    pub(super) fn leave(&mut self, ticket: Ticket, replaced: &mut Option<Waker>) -> bool {
        let found = self.find(ticket);
        if let Ok(at) = found {
            *replaced = self.waiting.remove(at).and_then(|(_, waker)| waker);
        }
        found.is_ok()
    }

    /// The longest waiter, who now has a slot and must be woken.
    pub(super) fn grant(&mut self) -> Option<Waker> {
        self.waiting.pop_front().and_then(|(_, waker)| waker)
    }

    fn find(&self, ticket: Ticket) -> Result<usize, usize> {
        self.waiting
            .binary_search_by_key(&ticket, |(ticket, _)| *ticket)
    }
}
