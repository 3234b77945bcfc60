//! An actor as a sender sees it: something that takes one type of message.

use super::in_place::ask_in_place;
use super::reply::Answer;
use super::shared::Anchor;
use super::{ActorId, Message, Receive, spans};
use crate::mailbox::{Letter, MailboxStats, Receipt, Refused, Ticket};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// A message for a mailbox.
pub(crate) type LetterOf<M> = Letter<M, Answer<M>>;
/// Where its answer will be.
pub(crate) type ReceiptOf<M> = Receipt<M, Answer<M>>;

/// What became of an ask that does not wait for room.
pub(crate) enum Begun<M: Message> {
    /// The handler has run.
    Answered(Answer<M>),
    /// Accepted; the handler will run, or runs.
    Accepted(ReceiptOf<M>),
    Refused(LetterOf<M>, ReceiptOf<M>, Refused),
    /// The asker is the actor itself.
    WouldDeadlock(M),
    /// The asker's task is to let others run first, and has been woken.
    GiveWay(M),
}

/// The erased actor behind a handle, a recipient or a route. Sends are generic in the message alone,
/// which keeps the futures of mutually asking actors from containing each other.
pub(crate) trait Target<M: Message>: Send + Sync {
    fn id(&self) -> ActorId;
    fn name(&self) -> &Arc<str>;
    fn stats(&self) -> MailboxStats;
    fn ask(&self, message: M, deadline: Option<Instant>, cx: &mut Context<'_>) -> Begun<M>;
    fn tell(&self, message: M) -> Result<(), (LetterOf<M>, Refused)>;
    fn try_push(&self, letter: LetterOf<M>) -> Result<(), (LetterOf<M>, Refused)>;
    fn poll_reserve(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Refused>>;
    fn push_reserved(&self, letter: LetterOf<M>) -> Result<(), LetterOf<M>>;
    fn leave(&self, ticket: Ticket);
    /// Tells whether a send still stands in line.
    #[cfg(debug_assertions)]
    fn watch_line(&self, ticket: Ticket) -> super::circle::Holds;
}

impl<A: Receive<M>, M: Message> Target<M> for Anchor<A> {
    fn id(&self) -> ActorId {
        self.shared.id()
    }

    fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    fn stats(&self) -> MailboxStats {
        self.shared.stats()
    }

    fn ask(&self, message: M, deadline: Option<Instant>, cx: &mut Context<'_>) -> Begun<M> {
        if self.shared.id().is_current() {
            return Begun::WouldDeadlock(message);
        }
        let message = match ask_in_place(&self.shared, message, deadline, cx) {
            Ok(begun) => return begun,
            Err(message) => message,
        };
        let (letter, receipt) = spans::ask(message, deadline);
        match self.shared.mailbox.try_push(letter) {
            Ok(()) => Begun::Accepted(receipt),
            Err((letter, refused)) => Begun::Refused(letter, receipt, refused),
        }
    }

    fn tell(&self, message: M) -> Result<(), (LetterOf<M>, Refused)> {
        self.shared.mailbox.try_push(spans::tell(message))
    }

    fn try_push(&self, letter: LetterOf<M>) -> Result<(), (LetterOf<M>, Refused)> {
        self.shared.mailbox.try_push(letter)
    }

    fn poll_reserve(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Refused>> {
        self.shared.mailbox.poll_reserve(ticket, cx)
    }

    fn push_reserved(&self, letter: LetterOf<M>) -> Result<(), LetterOf<M>> {
        self.shared.mailbox.push_reserved(letter)
    }

    fn leave(&self, ticket: Ticket) {
        self.shared.mailbox.leave(ticket);
    }

    #[cfg(debug_assertions)]
    fn watch_line(&self, ticket: Ticket) -> super::circle::Holds {
        self.shared.watch_line(ticket)
    }
}
