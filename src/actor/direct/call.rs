//! The futures of an ask and a tell in place.

use super::visit::{Visit, Visited};
use crate::actor::delivery::Limit;
use crate::actor::{Actor, AskError, Message, Receive, SendError};
use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// A message being handled in place, and its answer being awaited.
///
/// Does nothing until it is polled.
///
/// # Cancel safety
/// Dropped before its turn has come, nothing has happened. A handler that has started runs on in a task of its own.
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<'a, A: Actor, M: Message>(pub(super) Visit<'a, A, M>);

impl<A: Actor, M: Message> Call<'_, A, M> {
    /// See [`Ask::timeout`](crate::actor::Ask::timeout).
    pub fn timeout(mut self, after: Duration) -> Self {
        self.0.limit = Limit::After(after);
        self
    }

    /// See [`Ask::deadline`](crate::actor::Ask::deadline).
    pub fn deadline(mut self, at: Instant) -> Self {
        self.0.limit = Limit::At(at);
        self
    }
}

// Nothing is pinned inside: what runs is in the actor's seat.
impl<A: Actor, M: Message> Unpin for Call<'_, A, M> {}

impl<A: Receive<M>, M: Message> Future for Call<'_, A, M> {
    type Output = Result<M::Response, AskError<M>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let visited = ready!(self.0.poll(cx))?;
        let actor = || self.0.desk.shared.name.clone();
        Poll::Ready(match visited {
            Visited::Answered(answer) => answer.into_result(actor),
            Visited::Told | Visited::TimedOut => Err(AskError::TimedOut {
                actor: actor(),
                message: type_name::<M>(),
            }),
        })
    }
}

/// A message being handled in place without asking for an answer: it ends when the handler has.
///
/// # Cancel safety
/// See [`Call`].
#[must_use = "a tell does nothing until it is awaited"]
pub struct DirectTell<'a, A: Actor, M: Message>(pub(super) Visit<'a, A, M>);

impl<A: Actor, M: Message> DirectTell<'_, A, M> {
    /// Waits for its turn no longer than this, counted from the first poll.
    pub fn timeout(mut self, after: Duration) -> Self {
        self.0.limit = Limit::After(after);
        self
    }

    /// Waits for its turn no longer than until then.
    pub fn deadline(mut self, at: Instant) -> Self {
        self.0.limit = Limit::At(at);
        self
    }
}

impl<A: Actor, M: Message> Unpin for DirectTell<'_, A, M> {}

impl<A: Receive<M>, M: Message> Future for DirectTell<'_, A, M> {
    type Output = Result<(), SendError<M>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map_ok(|_| ())
    }
}

impl<A: Actor, M: Message> fmt::Debug for Call<'_, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

impl<A: Actor, M: Message> fmt::Debug for DirectTell<'_, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectTell").finish_non_exhaustive()
    }
}
