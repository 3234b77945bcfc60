//! The way of one message into a mailbox: what tells and asks have in common.

use super::reply::MessageCell;
use super::target::Target;
use super::{Message, SendError};
use crate::mailbox::{Refused, Ticket};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Where a message goes.
pub(crate) enum Destination<'a, M: Message> {
    Borrowed(&'a dyn Target<M>),
    /// Found in the registry's routes, which may change.
    Owned(Arc<dyn Target<M>>),
    /// The registry has no route for it.
    Unrouted,
    /// The registry's routes are closed.
    Closed,
}

impl<M: Message> Destination<'_, M> {
    pub(super) fn target(&self) -> Option<&dyn Target<M>> {
        match self {
            Self::Borrowed(target) => Some(*target),
            Self::Owned(target) => Some(&**target),
            Self::Unrouted | Self::Closed => None,
        }
    }

    /// Sends without waiting.
    pub(crate) fn try_tell(&self, message: M) -> Result<(), SendError<M>> {
        let Some(target) = self.target() else {
            return Err(self.no_target(message));
        };
        let cell = Arc::new(MessageCell::tell(message));
        target
            .try_push(Arc::clone(&cell))
            .map_err(|refused| refuse(&cell, refused))
    }

    fn no_target(&self, message: M) -> SendError<M> {
        match self {
            Self::Unrouted => SendError::Unrouted(message),
            _ => SendError::Closed(message),
        }
    }
}

/// How long a send may take. The clock is looked at only if there is a limit.
pub(crate) enum Limit {
    None,
    After(Duration),
    At(Instant),
    Running(Pin<Box<Sleep>>),
}

impl Limit {
    /// A relative limit counts from the first poll.
    fn start(&mut self) {
        if let Self::After(after) = *self {
            // A limit beyond what the clock can hold is none.
            *self = Instant::now()
                .checked_add(after)
                .map_or(Self::None, Self::At);
        }
    }

    /// Whether the limit has passed. Arms the timer, so it is asked only before returning `Pending`.
    pub(super) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::At(at) = *self {
            *self = Self::Running(Box::pin(tokio::time::sleep_until(at)));
        }
        match self {
            Self::Running(sleep) => sleep.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}

/// A message that no mailbox has accepted yet.
pub(crate) struct Delivery<'a, M: Message> {
    pub(super) to: Destination<'a, M>,
    stage: Stage<M>,
    pub(super) limit: Limit,
    /// Whether it waits for room.
    patient: bool,
    asks: bool,
}

enum Stage<M: Message> {
    /// Not polled yet.
    New(M),
    /// In line, or with a slot promised.
    Waiting(Arc<MessageCell<M>>, Option<Ticket>),
    Done,
}

impl<'a, M: Message> Delivery<'a, M> {
    pub(super) fn new(to: Destination<'a, M>, message: M, asks: bool, patient: bool) -> Self {
        Self {
            to,
            stage: Stage::New(message),
            limit: Limit::None,
            patient,
            asks,
        }
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Arc<MessageCell<M>>, SendError<M>>> {
        let result = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::New(message) => self.first_poll(message, cx),
            Stage::Waiting(cell, ticket) => self.wait(cell, ticket, cx),
            Stage::Done => panic!("a send was polled after it had completed"),
        };
        match result {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }

    fn first_poll(
        &mut self,
        message: M,
        cx: &mut Context<'_>,
    ) -> Option<Result<Arc<MessageCell<M>>, SendError<M>>> {
        let Some(target) = self.to.target() else {
            return Some(Err(self.to.no_target(message)));
        };
        self.limit.start();
        let to_oneself = target.id().is_current();
        if self.asks && to_oneself {
            return Some(Err(SendError::WouldDeadlock(message)));
        }
        let cell = Arc::new(if self.asks {
            MessageCell::ask(message)
        } else {
            MessageCell::tell(message)
        });
        match target.try_push(Arc::clone(&cell)) {
            Ok(()) => Some(Ok(cell)),
            Err(Refused::Full) if self.patient && to_oneself => {
                Some(Err(SendError::WouldDeadlock(take_back(&cell))))
            }
            Err(Refused::Full) if self.patient => self.wait(cell, None, cx),
            Err(refused) => Some(Err(refuse(&cell, refused))),
        }
    }

    fn wait(
        &mut self,
        cell: Arc<MessageCell<M>>,
        mut ticket: Option<Ticket>,
        cx: &mut Context<'_>,
    ) -> Option<Result<Arc<MessageCell<M>>, SendError<M>>> {
        let target = self.to.target()?;
        match target.poll_reserve(&mut ticket, cx) {
            Poll::Ready(Ok(())) => Some(match target.push_reserved(Arc::clone(&cell)) {
                Ok(()) => Ok(cell),
                Err(refused) => Err(refuse(&cell, refused)),
            }),
            Poll::Ready(Err(refused)) => Some(Err(refuse(&cell, refused))),
            Poll::Pending => {
                // Kept before the clock is touched: without one that panics, and the place in the line
                // must be given up even then.
                self.stage = Stage::Waiting(Arc::clone(&cell), ticket);
                if self.limit.poll_passed(cx).is_pending() {
                    return None;
                }
                self.leave();
                Some(Err(SendError::Expired(take_back(&cell))))
            }
        }
    }

    /// Gives up waiting.
    fn leave(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Done);
        if let (Stage::Waiting(_, Some(ticket)), Some(target)) = (stage, self.to.target()) {
            target.leave(ticket);
        }
    }
}

impl<M: Message> Drop for Delivery<'_, M> {
    fn drop(&mut self) {
        self.leave();
    }
}

fn refuse<M: Message>(cell: &MessageCell<M>, refused: Refused) -> SendError<M> {
    match refused {
        Refused::Full => SendError::Full(take_back(cell)),
        Refused::Closed => SendError::Closed(take_back(cell)),
    }
}

/// Only this sender has ever seen the cell, so the message is in it.
fn take_back<M: Message>(cell: &MessageCell<M>) -> M {
    cell.take_back()
        .expect("a cell that no mailbox accepted holds its message")
}
