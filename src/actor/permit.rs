//! A slot reserved ahead of the message.

use super::shared::Anchor;
use super::{Actor, Message, Receive, SendError, spans};
use crate::mailbox::Ticket;
use std::fmt;
use std::future::poll_fn;
use std::task::{Poll, ready};

/// A slot in a mailbox that belongs to its holder. It counts against the capacity until it is used or
/// dropped, and keeps the actor alive.
#[must_use = "a permit that is dropped gives its slot back"]
pub struct Permit<'a, A: Actor> {
    anchor: Option<&'a Anchor<A>>,
}

/// The mailbox has closed. The message comes back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the actor accepts no more messages")]
pub struct Closed<M>(pub M);

impl<M> fmt::Debug for Closed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Closed({})", std::any::type_name::<M>())
    }
}

impl<A: Actor> Permit<'_, A> {
    /// Sends without waiting.
    ///
    /// # Errors
    /// [`Closed`] if the mailbox has closed since the permit was given.
    pub fn send<M: Message>(mut self, message: M) -> Result<(), Closed<M>>
    where
        A: Receive<M>,
    {
        let Some(anchor) = self.anchor.take() else {
            return Err(Closed(message));
        };
        anchor
            .shared
            .mailbox
            .push_reserved(spans::tell(message))
            .map_err(|letter| Closed(letter.take_back(None)))
    }
}

impl<A: Actor> Drop for Permit<'_, A> {
    fn drop(&mut self) {
        if let Some(anchor) = self.anchor.take() {
            anchor.shared.mailbox.release();
        }
    }
}

impl<A: Actor> fmt::Debug for Permit<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("actor", &self.anchor.map(|anchor| &anchor.shared.name))
            .finish_non_exhaustive()
    }
}

/// Leaves the line when the wait is dropped.
struct Waiting<'a, A: Actor> {
    anchor: &'a Anchor<A>,
    ticket: Option<Ticket>,
}

impl<A: Actor> Drop for Waiting<'_, A> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.anchor.shared.mailbox.leave(ticket);
        }
    }
}

pub(super) async fn reserve<A: Actor>(anchor: &Anchor<A>) -> Result<Permit<'_, A>, SendError<()>> {
    let mut waiting = Waiting {
        anchor,
        ticket: None,
    };
    #[cfg(debug_assertions)]
    let mut wait = super::circle::Wait::default();
    poll_fn(|cx| {
        // A sender in a loop gives way, as with a tell.
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        let reserved = anchor.shared.mailbox.poll_reserve(&mut waiting.ticket, cx);
        #[cfg(debug_assertions)]
        if let (Some(ticket), false) = (waiting.ticket, anchor.shared.id().is_current()) {
            let shared = &anchor.shared;
            wait.begin(shared.id().number(), &shared.name, || {
                shared.watch_line(ticket)
            });
        }
        if reserved.is_ready() {
            budget.made_progress();
        }
        match reserved {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(Permit {
                anchor: Some(anchor),
            })),
            Poll::Ready(Err(_)) => Poll::Ready(Err(SendError::Closed(()))),
            Poll::Pending if anchor.shared.id().is_current() => {
                Poll::Ready(Err(SendError::WouldDeadlock(())))
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
