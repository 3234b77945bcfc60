//! The future of an ask.

use super::delivery::{Accepted, Delivery, Destination, Limit};
use super::pending::Enqueue;
use super::reply::Answer;
use super::target::{Begun, ReceiptOf, Target};
use super::{ActorName, AskError, Message, SendError};
use crate::mailbox::Expiry;
use std::any::type_name;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// A message being sent, and its answer being awaited.
///
/// Does nothing until it is polled; the first poll enqueues the message if there is room, unless its task is to give way
/// to others first (see [`Dispatch`](super::Dispatch)). The type names the message and not the handler, so that actors
/// that ask each other compile.
///
/// Messages are handled in the order in which they were sent if each was accepted before the next was sent. Of several
/// asks and tells that a task polls at once, as `join!` does, one that gives way may be overtaken by others: await what
/// has to come first, or its [`enqueue`](Self::enqueue).
///
/// # Cancel safety
/// Dropping it never cancels a handler that has started. A message that is still queued is dropped at
/// once and skipped in its turn (unless [`Message::RUN_IF_ABANDONED`]); one that waits for room, or has given
/// way, leaves nothing behind.
#[must_use = "an ask does nothing until it is awaited"]
pub struct Ask<'a, M: Message> {
    delivery: Delivery<'a, M>,
    /// Set once the message is accepted. Dropped by this drop, which most often finds that there is none.
    accepted: ManuallyDrop<Option<ReceiptOf<M>>>,
    #[cfg(debug_assertions)]
    wait: super::circle::Wait,
}

/// Where the answer will be, and how long it may take.
type Queued<M> = (ReceiptOf<M>, Limit);

impl<'a, M: Message> Ask<'a, M> {
    pub(crate) fn new(to: Destination<'a, M>, message: M, patient: bool) -> Self {
        Self {
            delivery: Delivery::new(to, message, patient),
            accepted: ManuallyDrop::new(None),
            #[cfg(debug_assertions)]
            wait: super::circle::Wait::default(),
        }
    }

    /// Waits no longer than this for room, for the message's turn and for the handler together, counted
    /// from the first poll. A message that is still queued then comes back as [`AskError::Expired`]; a
    /// handler that is running runs on, and the asker gets [`AskError::TimedOut`].
    pub fn timeout(mut self, after: Duration) -> Self {
        self.delivery.set_limit(Limit::After(after));
        self
    }

    /// Waits no longer than until then; see [`timeout`](Self::timeout).
    pub fn deadline(mut self, at: Instant) -> Self {
        self.delivery.set_limit(Limit::At(at));
        self
    }

    /// Only waits until the message is accepted, and gives a future of the answer that borrows nothing: for sending
    /// several asks before the first answer is awaited, or for awaiting it elsewhere. The handler runs in the
    /// actor's task even if the actor is idle.
    ///
    /// ```
    /// # use postroom::actor::{Actor, Context, Handler, Message};
    /// # use std::convert::Infallible;
    /// # struct Counter(u64);
    /// # impl Actor for Counter { type Error = Infallible; }
    /// # struct Add(u64);
    /// # impl Message for Add { type Response = u64; type Error = Infallible; }
    /// # impl Handler<Add> for Counter {
    /// #     async fn handle(&mut self, Add(n): Add, _: &Context<Self>) -> Result<u64, Infallible> {
    /// #         self.0 += n;
    /// #         Ok(self.0)
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = Counter(0).spawn();
    /// let first = counter.ask(Add(40)).enqueue().await?;
    /// let second = counter.ask(Add(2)).enqueue().await?;
    /// assert_eq!((first.await?, second.await?), (40, 42));
    /// # Ok(())
    /// # }
    /// ```
    pub fn enqueue(self) -> Enqueue<'a, M> {
        Enqueue(self)
    }

    /// The next step of an enqueueing.
    pub(super) fn poll_accepted(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Queued<M>, SendError<M>>> {
        let accepted = match self.delivery.take_new() {
            Some(message) => self.delivery.enqueue(message, cx),
            None => self.delivery.poll_waiting(cx),
        };
        let receipt = ready!(accepted)?.asked();
        let limit = self.delivery.take_limit();
        Poll::Ready(Ok((receipt, limit)))
    }

    pub(super) fn target(&self) -> Option<&dyn Target<M>> {
        self.delivery.to.target()
    }

    #[cold]
    fn conclude(&self, answer: Answer<M>) -> Result<M::Response, AskError<M>> {
        answer.into_result(|| self.actor())
    }

    fn actor(&self) -> ActorName {
        self.delivery.to.target().map_or_else(
            || ActorName::from_static(""),
            |target| target.name().clone(),
        )
    }
}

// Nothing is pinned inside: the message is moved out at the first poll.
impl<M: Message> Unpin for Ask<'_, M> {}

impl<M: Message> Future for Ask<'_, M> {
    type Output = Result<M::Response, AskError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.accepted.is_none() {
            let Some(message) = this.delivery.take_new() else {
                ready!(this.poll_waiting(cx))?;
                return self.poll(cx);
            };
            let deadline = this.delivery.start_limit();
            // One that gives way does not wait for its timer.
            if this.delivery.gave_way() > 0 && deadline.is_some_and(|at| at <= Instant::now()) {
                return Poll::Ready(Err(AskError::Expired(message)));
            }
            let Some(target) = this.delivery.to.target() else {
                return Poll::Ready(Err(this.delivery.to.no_target(message).into()));
            };
            match target.ask(message, deadline, this.delivery.gave_way(), cx) {
                // Most are, and go straight to where they are wanted.
                Begun::Answered(Answer::Replied(Ok(response))) => {
                    return Poll::Ready(Ok(response));
                }
                Begun::Answered(answer) => return Poll::Ready(this.conclude(answer)),
                Begun::Accepted(receipt) => this.accepted = ManuallyDrop::new(Some(receipt)),
                Begun::Refused(letter, receipt, refused) => {
                    let refused = this.delivery.refused(letter, Some(receipt), refused, cx);
                    ready!(this.was_accepted(refused))?;
                }
                Begun::WouldDeadlock(message) => {
                    return Poll::Ready(Err(AskError::WouldDeadlock(message)));
                }
                Begun::GiveWay(message) => {
                    this.delivery.put_back(message);
                    return Poll::Pending;
                }
            }
        }
        this.poll_answer(cx)
    }
}

impl<M: Message> Ask<'_, M> {
    /// There was no room.
    #[cold]
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AskError<M>>> {
        let waited = self.delivery.poll_waiting(cx);
        self.was_accepted(waited)
    }

    #[cold]
    fn was_accepted(
        &mut self,
        waited: Poll<Result<Accepted<M>, SendError<M>>>,
    ) -> Poll<Result<(), AskError<M>>> {
        *self.accepted = Some(ready!(waited)?.asked());
        Poll::Ready(Ok(()))
    }

    /// The message was accepted.
    #[inline]
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<M::Response, AskError<M>>> {
        let Some(receipt) = &mut *self.accepted else {
            unreachable!("an ask has a receipt when it is accepted");
        };
        if let Poll::Ready(answer) = receipt.poll_answer(cx) {
            *self.accepted = None;
            #[cfg(debug_assertions)]
            self.wait.end();
            return match answer {
                Answer::Replied(Ok(response)) => Poll::Ready(Ok(response)),
                answer => Poll::Ready(self.conclude(answer)),
            };
        }
        #[cfg(debug_assertions)]
        if let Some(target) = self.delivery.to.target() {
            self.wait.begin(target.id().number(), target.name(), || {
                Box::new(receipt.watch())
            });
        }
        ready!(self.delivery.poll_passed(cx));
        Poll::Ready(self.expire())
    }

    /// Its time is up.
    #[cold]
    fn expire(&mut self) -> Result<M::Response, AskError<M>> {
        match self.accepted.take().map(ReceiptOf::<M>::expire) {
            Some(Expiry::Revoked(message)) => Err(AskError::Expired(message)),
            Some(Expiry::Answered(answer)) => self.conclude(answer),
            Some(Expiry::Running) | None => Err(AskError::TimedOut {
                actor: self.actor(),
                message: type_name::<M>(),
            }),
        }
    }
}

impl<M: Message> Drop for Ask<'_, M> {
    #[inline]
    fn drop(&mut self) {
        if self.accepted.is_some() {
            self.abandon();
        }
    }
}

impl<M: Message> Ask<'_, M> {
    #[cold]
    fn abandon(&mut self) {
        if let Some(receipt) = self.accepted.take() {
            receipt.abandon(M::RUN_IF_ABANDONED);
        }
    }
}
