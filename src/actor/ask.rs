//! The future of an ask.

use super::delivery::{Accepted, Delivery, Destination, Limit};
use super::reply::Answer;
use super::target::ReceiptOf;
use super::{AskError, Message};
use crate::mailbox::Expiry;
use std::any::type_name;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// A message being sent, and its answer being awaited.
///
/// Does nothing until it is polled; the first poll enqueues the message if there is room. The type
/// names the message and not the handler, so that actors that ask each other compile.
///
/// # Cancel safety
/// Dropping it never cancels a handler that has started. A message that is still queued is dropped at
/// once and skipped in its turn (unless [`Message::RUN_IF_ABANDONED`]); one that waits for room leaves
/// nothing behind.
#[must_use = "an ask does nothing until it is awaited"]
pub struct Ask<'a, M: Message> {
    delivery: Delivery<'a, M>,
    /// Set once the message is accepted.
    accepted: Option<ReceiptOf<M>>,
}

impl<'a, M: Message> Ask<'a, M> {
    pub(crate) fn new(to: Destination<'a, M>, message: M, patient: bool) -> Self {
        Self {
            delivery: Delivery::new(to, message, true, patient),
            accepted: None,
        }
    }

    /// Waits no longer than this for room, for the message's turn and for the handler together, counted
    /// from the first poll. A message that is still queued then comes back as [`AskError::Expired`]; a
    /// handler that is running runs on, and the asker gets [`AskError::TimedOut`].
    pub fn timeout(mut self, after: Duration) -> Self {
        self.delivery.limit = Limit::After(after);
        self
    }

    /// Waits no longer than until then; see [`timeout`](Self::timeout).
    pub fn deadline(mut self, at: Instant) -> Self {
        self.delivery.limit = Limit::At(at);
        self
    }

    fn conclude(&self, answer: Answer<M>) -> Result<M::Response, AskError<M>> {
        let message = type_name::<M>();
        match answer {
            Answer::Replied(Ok(response)) => Ok(response),
            Answer::Replied(Err(error)) => Err(AskError::Handler(error)),
            Answer::Panicked(text) => Err(AskError::Panicked {
                actor: self.actor(),
                message,
                text,
            }),
            Answer::Cancelled => Err(AskError::Cancelled {
                actor: self.actor(),
                message,
            }),
            Answer::NoReply => Err(AskError::NoReply {
                actor: self.actor(),
                message,
            }),
            Answer::Stopped(message) => Err(AskError::Stopped(message)),
            Answer::Evicted(message) => Err(AskError::Evicted(message)),
        }
    }

    fn actor(&self) -> Arc<str> {
        self.delivery
            .to
            .target()
            .map_or_else(|| Arc::from(""), |target| Arc::clone(target.name()))
    }
}

// Nothing is pinned inside: the message is moved out at the first poll.
impl<M: Message> Unpin for Ask<'_, M> {}

impl<M: Message> Future for Ask<'_, M> {
    type Output = Result<M::Response, AskError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let receipt = match &mut this.accepted {
            Some(receipt) => receipt,
            None => match ready!(this.delivery.poll(cx))? {
                Accepted::Answered(answer) => return Poll::Ready(this.conclude(answer)),
                Accepted::Asked(receipt) => this.accepted.insert(receipt),
                Accepted::Told => unreachable!("an ask asks"),
            },
        };
        if let Poll::Ready(answer) = receipt.poll_answer(cx) {
            this.accepted = None;
            return Poll::Ready(this.conclude(answer));
        }
        ready!(this.delivery.limit.poll_passed(cx));
        let result = match this.accepted.take().map(ReceiptOf::<M>::expire) {
            Some(Expiry::Revoked(message)) => Err(AskError::Expired(message)),
            Some(Expiry::Answered(answer)) => this.conclude(answer),
            Some(Expiry::Running) | None => Err(AskError::TimedOut {
                actor: this.actor(),
                message: type_name::<M>(),
            }),
        };
        Poll::Ready(result)
    }
}

impl<M: Message> Drop for Ask<'_, M> {
    fn drop(&mut self) {
        if let Some(receipt) = self.accepted.take() {
            receipt.abandon(M::RUN_IF_ABANDONED);
        }
    }
}
