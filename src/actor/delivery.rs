//! The way of one message into a mailbox: what tells and asks have in common.

use super::held::Held;
use super::identity::current_deadline;
use super::overflow::Overflowed;
use super::target::{LetterOf, ReceiptOf, Target};
use super::{Message, SendError, Told, sending};
use crate::mailbox::{Refused, Ticket};
use std::future::Future;
use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Where a message goes.
pub(crate) enum Destination<'a, M: Message> {
    Borrowed(&'a dyn Target<M>),
    /// Found in the registry's routes, which may change.
    Owned(Held<dyn Target<M>>),
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
    pub(crate) fn try_tell(&self, message: M) -> Result<Told, SendError<M>> {
        let Some(target) = self.target() else {
            return Err(self.no_target(message));
        };
        match target.try_tell(message) {
            Ok(()) => Ok(Told::Accepted),
            Err((letter, refused)) => match overflow(target, letter, refused) {
                Overflowed::Told(told) => Ok(told),
                Overflowed::Refused(letter, refused) => Err(refuse(letter, None, refused)),
                Overflowed::Waits(letter) => Err(refuse(letter, None, Refused::Full)),
            },
        }
    }

    pub(super) fn no_target(&self, message: M) -> SendError<M> {
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

    /// The same for an ask, which without a limit has that of the handler that makes it. When it ends.
    #[inline]
    pub(super) fn start_ask(&mut self) -> Option<Instant> {
        self.start();
        if let Self::None = *self {
            let at = current_deadline()?;
            *self = Self::At(at);
            return Some(at);
        }
        self.at()
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
    #[inline]
    pub(super) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::None => Poll::Pending,
            _ => self.poll_timer(cx),
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
///
/// Its parts are dropped by its own drop, which most often finds that there is nothing to drop.
pub(crate) struct Delivery<'a, M: Message> {
    pub(super) to: ManuallyDrop<Destination<'a, M>>,
    stage: ManuallyDrop<Stage<M>>,
    limit: ManuallyDrop<Limit>,
    /// Whether it waits for room.
    patient: bool,
    /// How often it has given way.
    gave_way: u8,
    /// Whether there may be something to drop: false spares the looks at its parts.
    keeps: bool,
    #[cfg(debug_assertions)]
    wait: super::circle::Wait,
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

/// What became of a message that was not refused.
pub(super) enum Accepted<M: Message> {
    Told(Told),
    /// The answer will be here.
    Asked(ReceiptOf<M>),
}

impl<M: Message> Accepted<M> {
    fn new(told: Told, receipt: Option<ReceiptOf<M>>) -> Self {
        receipt.map_or(Self::Told(told), Self::Asked)
    }

    /// For a tell.
    pub(super) fn told(self) -> Told {
        match self {
            Self::Told(told) => told,
            Self::Asked(_) => unreachable!("a tell has no receipt"),
        }
    }

    /// For an ask.
    pub(super) fn asked(self) -> ReceiptOf<M> {
        match self {
            Self::Asked(receipt) => receipt,
            Self::Told(_) => unreachable!("an ask has a receipt"),
        }
    }
}

impl<'a, M: Message> Delivery<'a, M> {
    pub(super) fn new(to: Destination<'a, M>, message: M, patient: bool) -> Self {
        let keeps = mem::needs_drop::<M>() || matches!(to, Destination::Owned(_));
        Self {
            to: ManuallyDrop::new(to),
            stage: ManuallyDrop::new(Stage::New(message)),
            limit: ManuallyDrop::new(Limit::None),
            patient,
            gave_way: 0,
            keeps,
            #[cfg(debug_assertions)]
            wait: super::circle::Wait::default(),
        }
    }

    /// The message, if this was not polled yet. Until one of the other functions has it again it is nowhere.
    #[inline]
    pub(super) fn take_new(&mut self) -> Option<M> {
        match mem::replace(&mut *self.stage, Stage::Done) {
            Stage::New(message) => Some(message),
            other => {
                *self.stage = other;
                None
            }
        }
    }

    /// Waits no longer than this.
    pub(super) fn set_limit(&mut self, limit: Limit) {
        *self.limit = limit;
    }

    /// The limit goes on with what follows.
    pub(super) fn take_limit(&mut self) -> Limit {
        mem::replace(&mut *self.limit, Limit::None)
    }

    /// It gives way: the next poll begins anew.
    #[cold]
    pub(super) fn put_back(&mut self, message: M) {
        self.gave_way = self.gave_way.saturating_add(1);
        *self.stage = Stage::New(message);
    }

    /// How often it has given way.
    #[inline]
    pub(super) const fn gave_way(&self) -> u8 {
        self.gave_way
    }

    /// When an ask has to be done, which counts from now.
    #[inline]
    pub(super) fn start_limit(&mut self) -> Option<Instant> {
        self.limit.start_ask()
    }

    /// See [`Limit::poll_passed`].
    #[inline]
    pub(super) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // It may be a timer from now on.
        self.keeps |= !matches!(*self.limit, Limit::None);
        self.limit.poll_passed(cx)
    }

    /// Tells it: the first poll of a tell.
    #[inline]
    pub(super) fn tell(
        &mut self,
        message: M,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Told, SendError<M>>> {
        let told = match self.to.target() {
            Some(target) => target.tell(message, cx),
            None => return Poll::Ready(Err(self.to.no_target(message))),
        };
        match told {
            Ok(()) => Poll::Ready(Ok(Told::Accepted)),
            Err((letter, refused)) => {
                self.limit.start();
                self.refused(letter, None, refused, cx)
                    .map_ok(Accepted::told)
            }
        }
    }

    /// Enqueues it to be answered: the first poll of an enqueueing.
    pub(super) fn enqueue(
        &mut self,
        message: M,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Accepted<M>, SendError<M>>> {
        let deadline = self.start_limit();
        let Some(target) = self.to.target() else {
            return Poll::Ready(Err(self.to.no_target(message)));
        };
        let (letter, receipt) = sending::ask(message, deadline);
        match target.try_push(letter) {
            Ok(()) => Poll::Ready(Ok(Accepted::Asked(receipt))),
            Err((letter, refused)) => self.refused(letter, Some(receipt), refused, cx),
        }
    }

    /// The first try to push it failed.
    #[cold]
    pub(super) fn refused(
        &mut self,
        letter: LetterOf<M>,
        receipt: Option<ReceiptOf<M>>,
        refused: Refused,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Accepted<M>, SendError<M>>> {
        let Some(target) = self.to.target() else {
            return Poll::Ready(Err(refuse(letter, receipt, refused)));
        };
        let letter = match overflow(target, letter, refused) {
            Overflowed::Told(told) => return Poll::Ready(Ok(Accepted::new(told, receipt))),
            Overflowed::Refused(letter, refused) => {
                return Poll::Ready(Err(refuse(letter, receipt, refused)));
            }
            Overflowed::Waits(letter) => letter,
        };
        if !self.patient {
            return Poll::Ready(Err(refuse(letter, receipt, Refused::Full)));
        }
        if target.id().is_current() {
            return Poll::Ready(Err(SendError::WouldDeadlock(letter.take_back(receipt))));
        }
        // There was `Done`, which needs no drop.
        self.stage = ManuallyDrop::new(Stage::Waiting {
            letter,
            receipt,
            ticket: None,
        });
        self.keeps = true;
        self.poll_waiting(cx)
    }

    /// Waits for room: the next poll of one that was refused.
    ///
    /// # Panics
    /// If it is not one.
    #[cold]
    pub(super) fn poll_waiting(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Accepted<M>, SendError<M>>> {
        let Stage::Waiting { ticket, .. } = &mut *self.stage else {
            panic!("a send was polled after it had completed");
        };
        let Some(target) = self.to.target() else {
            unreachable!("only a target refuses");
        };
        let reserved = target.poll_line(ticket, cx);
        #[cfg(debug_assertions)]
        match *ticket {
            Some(ticket) => self.wait.begin(target.id().number(), target.name(), || {
                target.watch_line(ticket)
            }),
            None => self.wait.end(),
        }
        // Without a clock this panics: what waits stays where it is, and its place in the line is given up with it.
        if reserved.is_pending() {
            ready!(self.poll_passed(cx));
        }
        let Stage::Waiting {
            letter,
            receipt,
            ticket,
        } = mem::replace(&mut *self.stage, Stage::Done)
        else {
            unreachable!("it was there");
        };
        let Some(target) = self.to.target() else {
            unreachable!("as above");
        };
        Poll::Ready(match reserved {
            Poll::Ready(Ok(())) => match target.push_reserved(letter) {
                Ok(()) => Ok(Accepted::new(Told::Accepted, receipt)),
                Err(letter) => Err(refuse(letter, receipt, Refused::Closed)),
            },
            Poll::Ready(Err(refused)) => Err(refuse(letter, receipt, refused)),
            Poll::Pending => {
                if let Some(ticket) = ticket {
                    target.leave(ticket);
                }
                Err(SendError::Expired(letter.take_back(receipt)))
            }
        })
    }
}

impl<M: Message> Delivery<'_, M> {
    /// Whether nothing in it has to be dropped.
    #[inline]
    fn is_spent(&self) -> bool {
        let stage = match *self.stage {
            Stage::Done => true,
            Stage::New(_) => !mem::needs_drop::<M>(),
            Stage::Waiting { .. } => false,
        };
        stage
            && !matches!(*self.to, Destination::Owned(_))
            && !matches!(*self.limit, Limit::Running(_))
    }

    #[cold]
    fn drop_parts(&mut self) {
        // Taken out first: should dropping one of them panic, the others are dropped all the same.
        let limit = self.take_limit();
        let to = mem::replace(&mut *self.to, Destination::Closed);
        let stage = mem::replace(&mut *self.stage, Stage::Done);
        if let Stage::Waiting {
            ticket: Some(ticket),
            ..
        } = &stage
            && let Some(target) = to.target()
        {
            target.leave(*ticket);
        }
        drop(stage);
        drop(to);
        drop(limit);
    }
}

impl<M: Message> Drop for Delivery<'_, M> {
    #[inline]
    fn drop(&mut self) {
        if self.keeps && !self.is_spent() {
            self.drop_parts();
        }
    }
}

/// Leaves a letter that found no room to the actor's policy.
#[cold]
fn overflow<M: Message>(
    target: &dyn Target<M>,
    letter: LetterOf<M>,
    refused: Refused,
) -> Overflowed<M> {
    match refused {
        Refused::Full => target.overflow(letter),
        Refused::Closed => Overflowed::Refused(letter, refused),
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
