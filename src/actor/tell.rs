//! The future of a tell.

use super::delivery::{Delivery, Destination, Limit};
use super::giving_way::spend;
use super::{Message, SendError, Told};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// A message being sent without asking for an answer: it ends when the message is accepted.
///
/// Does nothing until it is polled. The first poll enqueues the message if there is room, unless the
/// task has used up its cooperative budget. If the actor is idle, and its handlers are known to be brief or it is to
/// be so in any case, it runs the handler instead, up to the first thing that it waits for: see
/// [`Dispatch`](super::Dispatch).
///
/// # Cancel safety
/// Dropped before it is ready, it leaves nothing behind: the message is dropped, its place in the line
/// is gone, and a slot that was promised to it goes to the next in line.
#[must_use = "a tell does nothing until it is awaited"]
pub struct Tell<'a, M: Message> {
    delivery: Delivery<'a, M>,
}

impl<'a, M: Message> Tell<'a, M> {
    pub(crate) fn new(to: Destination<'a, M>, message: M) -> Self {
        Self {
            delivery: Delivery::new(to, message, true),
        }
    }

    /// Waits for room no longer than this, counted from the first poll, and then gives the message
    /// back as [`SendError::Expired`].
    pub fn timeout(mut self, after: Duration) -> Self {
        self.delivery.set_limit(Limit::After(after));
        self
    }

    /// Waits for room no longer than until then.
    pub fn deadline(mut self, at: Instant) -> Self {
        self.delivery.set_limit(Limit::At(at));
        self
    }
}

// Nothing is pinned inside: the message is moved out at the first poll.
impl<M: Message> Unpin for Tell<'_, M> {}

impl<M: Message> Future for Tell<'_, M> {
    type Output = Result<Told, SendError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A sender in a loop would otherwise never give way while the receiver keeps up.
        let unit = ready!(tokio::task::coop::poll_proceed(cx));
        let told = match self.delivery.take_new() {
            Some(message) => self.delivery.tell(message, cx),
            // Not `map_ok`, with which all of it is copied before anything is looked at.
            None => match ready!(self.delivery.poll_waiting(cx)) {
                Ok(accepted) => Poll::Ready(Ok(accepted.told())),
                Err(error) => Poll::Ready(Err(error)),
            },
        };
        let result = ready!(told);
        spend(unit);
        Poll::Ready(result)
    }
}
