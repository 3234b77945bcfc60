//! The way of one message into a mailbox: what tells and asks have in common.

use super::identity::current_deadline;
use super::reply::Answer;
use super::target::{Begun, LetterOf, ReceiptOf, Target};
use super::{Message, SendError, spans};
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
        target
            .try_push(spans::tell(message))
            .map_err(|(letter, refused)| refuse(letter, None, refused))
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
    pub(super) fn start(&mut self) {
        if let Self::After(after) = *self {
            // A limit beyond what the clock can hold is none.
            *self = Instant::now()
                .checked_add(after)
                .map_or(Self::None, Self::At);
        }
    }

    /// An ask without a limit has that of the handler which makes it.
    #[inline]
    pub(super) fn inherit(&mut self) {
        if let (Self::None, Some(at)) = (&*self, current_deadline()) {
            *self = Self::At(at);
        }
    }

    /// When it ends.
    #[inline]
    pub(super) fn at(&self) -> Option<Instant> {
        match self {
            Self::None | Self::After(_) => None,
            Self::At(at) => Some(*at),
            Self::Running(sleep) => Some(sleep.deadline()),
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
    pub(super) mode: Mode,
    #[cfg(debug_assertions)]
    wait: super::circle::Wait,
}

/// What the sender wants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Tell,
    Ask,
    /// To ask, but not to handle the message itself.
    Enqueue,
}

enum Stage<M: Message> {
    /// Not polled yet.
    New(M),
    /// In line, or with a slot promised.
    Waiting {
        letter: LetterOf<M>,
        receipt: Option<ReceiptOf<M>>,
        ticket: Option<Ticket>,
    },
    Done,
}

/// How a message was accepted.
pub(super) enum Accepted<M: Message> {
    /// It was told.
    Told,
    /// It was asked, and the answer will be here.
    Asked(ReceiptOf<M>),
    /// It was asked, and here is the answer.
    Answered(Answer<M>),
}

/// `None` means that it is to be polled again.
type Step<M> = Option<Result<Accepted<M>, SendError<M>>>;

impl<'a, M: Message> Delivery<'a, M> {
    pub(super) fn new(to: Destination<'a, M>, message: M, mode: Mode, patient: bool) -> Self {
        Self {
            to,
            stage: Stage::New(message),
            limit: Limit::None,
            patient,
            mode,
            #[cfg(debug_assertions)]
            wait: super::circle::Wait::default(),
        }
    }

    /// The same as [`poll`](Self::poll), for a tell, with a short way where there is room.
    #[inline]
    pub(super) fn poll_tell(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<M>>> {
        let message = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::New(message) => message,
            other => {
                self.stage = other;
                return self.poll(cx).map_ok(|_| ());
            }
        };
        let told = match self.to.target() {
            Some(target) => target.tell(message),
            None => return Poll::Ready(Err(self.to.no_target(message))),
        };
        match told {
            Ok(()) => Poll::Ready(Ok(())),
            Err((letter, refused)) => self.not_told(letter, refused, cx),
        }
    }

    #[cold]
    fn not_told(
        &mut self,
        letter: LetterOf<M>,
        refused: Refused,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<M>>> {
        self.limit.start();
        match self.refused(letter, None, refused, cx) {
            Some(result) => Poll::Ready(result.map(|_| ())),
            None => Poll::Pending,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Accepted<M>, SendError<M>>> {
        let step = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::New(message) => self.first_poll(message, cx),
            Stage::Waiting {
                letter,
                receipt,
                ticket,
            } => self.wait(letter, receipt, ticket, cx),
            Stage::Done => panic!("a send was polled after it had completed"),
        };
        match step {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }

    fn first_poll(&mut self, message: M, cx: &mut Context<'_>) -> Step<M> {
        let Some(target) = self.to.target() else {
            return Some(Err(self.to.no_target(message)));
        };
        self.limit.start();
        if self.mode != Mode::Tell {
            self.limit.inherit();
        }
        if self.mode == Mode::Ask {
            return match target.ask(message, self.limit.at(), cx) {
                Begun::Answered(answer) => Some(Ok(Accepted::Answered(answer))),
                Begun::Accepted(receipt) => Some(Ok(Accepted::Asked(receipt))),
                Begun::Refused(letter, receipt, Refused::Full) if self.patient => {
                    self.wait(letter, Some(receipt), None, cx)
                }
                Begun::Refused(letter, receipt, refused) => {
                    Some(Err(refuse(letter, Some(receipt), refused)))
                }
                Begun::WouldDeadlock(message) => Some(Err(SendError::WouldDeadlock(message))),
                Begun::GiveWay(message) => {
                    self.stage = Stage::New(message);
                    None
                }
            };
        }
        let (letter, receipt) = if self.mode == Mode::Enqueue {
            let (letter, receipt) = spans::ask(message, self.limit.at());
            (letter, Some(receipt))
        } else {
            (spans::tell(message), None)
        };
        match target.try_push(letter) {
            Ok(()) => Some(Ok(receipt.map_or(Accepted::Told, Accepted::Asked))),
            Err((letter, refused)) => self.refused(letter, receipt, refused, cx),
        }
    }

    /// The first try to push it failed.
    #[cold]
    fn refused(
        &mut self,
        letter: LetterOf<M>,
        receipt: Option<ReceiptOf<M>>,
        refused: Refused,
        cx: &mut Context<'_>,
    ) -> Step<M> {
        if refused == Refused::Closed || !self.patient {
            return Some(Err(refuse(letter, receipt, refused)));
        }
        if self.to.target()?.id().is_current() {
            return Some(Err(SendError::WouldDeadlock(letter.take_back(receipt))));
        }
        self.wait(letter, receipt, None, cx)
    }

    #[cold]
    fn wait(
        &mut self,
        letter: LetterOf<M>,
        receipt: Option<ReceiptOf<M>>,
        mut ticket: Option<Ticket>,
        cx: &mut Context<'_>,
    ) -> Step<M> {
        let target = self.to.target()?;
        let reserved = target.poll_reserve(&mut ticket, cx);
        #[cfg(debug_assertions)]
        match ticket {
            Some(ticket) => self.wait.begin(target.id().number(), target.name(), || {
                target.watch_line(ticket)
            }),
            None => self.wait.end(),
        }
        match reserved {
            Poll::Ready(Ok(())) => Some(match target.push_reserved(letter) {
                Ok(()) => Ok(receipt.map_or(Accepted::Told, Accepted::Asked)),
                Err(letter) => Err(refuse(letter, receipt, Refused::Closed)),
            }),
            Poll::Ready(Err(refused)) => Some(Err(refuse(letter, receipt, refused))),
            Poll::Pending => {
                // Kept before the clock is touched: without one that panics, and the place in the line
                // must be given up even then.
                self.stage = Stage::Waiting {
                    letter,
                    receipt,
                    ticket,
                };
                if self.limit.poll_passed(cx).is_pending() {
                    return None;
                }
                let (letter, receipt) = self.leave()?;
                Some(Err(SendError::Expired(letter.take_back(receipt))))
            }
        }
    }

    /// Gives up waiting.
    fn leave(&mut self) -> Option<(LetterOf<M>, Option<ReceiptOf<M>>)> {
        let Stage::Waiting {
            letter,
            receipt,
            ticket,
        } = std::mem::replace(&mut self.stage, Stage::Done)
        else {
            return None;
        };
        if let (Some(ticket), Some(target)) = (ticket, self.to.target()) {
            target.leave(ticket);
        }
        Some((letter, receipt))
    }
}

impl<M: Message> Drop for Delivery<'_, M> {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Waiting { .. }) {
            self.leave();
        }
    }
}

fn refuse<M: Message>(
    letter: LetterOf<M>,
    receipt: Option<ReceiptOf<M>>,
    refused: Refused,
) -> SendError<M> {
    let message = letter.take_back(receipt);
    match refused {
        Refused::Full => SendError::Full(message),
        Refused::Closed => SendError::Closed(message),
    }
}
