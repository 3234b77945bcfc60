//! An actor as a sender sees it: something that takes one type of message.

use super::held::Holdable;
use super::in_place::{ask_in_place, tell_in_place};
use super::overflow::{Overflowed, overflow};
use super::reply::Answer;
use super::shared::Shared;
use super::{ActorId, ActorName, Message, Receive, sending};
use crate::mailbox::{Letter, MailboxStats, Receipt, Refused, Ticket};
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
pub(crate) trait Target<M: Message>: Holdable + Send + Sync {
    fn id(&self) -> ActorId;
    fn name(&self) -> &ActorName;
    fn stats(&self) -> MailboxStats;
    /// Enqueues it, or runs the handler, unless it is to give way, as it has done so often.
    fn ask(
        &self,
        message: M,
        deadline: Option<Instant>,
        gave_way: u8,
        cx: &mut Context<'_>,
    ) -> Begun<M>;
    /// Enqueues it, or runs the handler.
    fn tell(&self, message: M, cx: &mut Context<'_>) -> Result<(), (LetterOf<M>, Refused)>;
    /// Enqueues it.
    fn try_tell(&self, message: M) -> Result<(), (LetterOf<M>, Refused)>;
    fn try_push(&self, letter: LetterOf<M>) -> Result<(), (LetterOf<M>, Refused)>;
    /// What the actor's policy makes of a letter that found no room.
    fn overflow(&self, letter: LetterOf<M>) -> Overflowed<M>;
    /// See [`Mailbox::poll_line`](crate::mailbox::Mailbox::poll_line).
    fn poll_line(&self, ticket: &mut Option<Ticket>, cx: &Context<'_>)
    -> Poll<Result<(), Refused>>;
    fn push_reserved(&self, letter: LetterOf<M>) -> Result<(), LetterOf<M>>;
    fn leave(&self, ticket: Ticket);
    /// Tells whether a send still stands in line.
    #[cfg(debug_assertions)]
    fn watch_line(&self, ticket: Ticket) -> super::circle::Holds;
}

impl<A: Receive<M>, M: Message> Target<M> for Shared<A> {
    fn id(&self) -> ActorId {
        Self::id(self)
    }

    fn name(&self) -> &ActorName {
        &self.name
    }

    fn stats(&self) -> MailboxStats {
        Self::stats(self)
    }

    fn ask(
        &self,
        message: M,
        deadline: Option<Instant>,
        gave_way: u8,
        cx: &mut Context<'_>,
    ) -> Begun<M> {
        if Self::id(self).is_current() {
            return Begun::WouldDeadlock(message);
        }
        let message = match ask_in_place(self, message, deadline, gave_way, cx) {
            Ok(begun) => return begun,
            Err(message) => message,
        };
        let (letter, receipt) = sending::ask(message, deadline);
        match self.mailbox.try_push(letter) {
            Ok(()) => Begun::Accepted(receipt),
            Err((letter, refused)) => Begun::Refused(letter, receipt, refused),
        }
    }

    fn tell(&self, message: M, cx: &mut Context<'_>) -> Result<(), (LetterOf<M>, Refused)> {
        // Most often a stream of them finds the actor at work.
        let message = if self.mailbox.is_idle() {
            match tell_in_place(self, message, cx) {
                Ok(()) => return Ok(()),
                Err(message) => message,
            }
        } else {
            message
        };
        self.mailbox.try_push(sending::tell(message))
    }

    fn try_tell(&self, message: M) -> Result<(), (LetterOf<M>, Refused)> {
        self.mailbox.try_push(sending::tell(message))
    }

    fn try_push(&self, letter: LetterOf<M>) -> Result<(), (LetterOf<M>, Refused)> {
        self.mailbox.try_push(letter)
    }

    fn overflow(&self, letter: LetterOf<M>) -> Overflowed<M> {
        overflow(self, letter)
    }

    fn poll_line(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Refused>> {
        self.mailbox.poll_line(ticket, cx)
    }

    fn push_reserved(&self, letter: LetterOf<M>) -> Result<(), LetterOf<M>> {
        self.mailbox.push_reserved(letter)
    }

    fn leave(&self, ticket: Ticket) {
        self.mailbox.leave(ticket);
    }

    #[cfg(debug_assertions)]
    fn watch_line(&self, ticket: Ticket) -> super::circle::Holds {
        Self::watch_line(self, ticket)
    }
}
