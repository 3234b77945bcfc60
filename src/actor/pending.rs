//! An ask in two steps: accepted now, answered later.

use super::delivery::Limit;
use super::giving_way::spend;
use super::name::short_type_name;
use super::target::ReceiptOf;
use super::{ActorId, ActorName, Ask, AskError, Message, SendError};
use crate::mailbox::Expiry;
use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A message being sent whose answer will be awaited later: see [`Ask::enqueue`].
///
/// # Cancel safety
/// Dropped before it is ready, it leaves nothing behind, as a [`Tell`](super::Tell).
#[must_use = "nothing is sent until it is awaited"]
pub struct Enqueue<'a, M: Message>(pub(super) Ask<'a, M>);

impl<M: Message> Future for Enqueue<'_, M> {
    type Output = Result<PendingReply<M>, SendError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A sender in a loop would otherwise never give way while the receiver keeps up.
        let unit = ready!(tokio::task::coop::poll_proceed(cx));
        let accepted = ready!(self.0.poll_accepted(cx));
        spend(unit);
        let (receipt, limit) = accepted?;
        let Some(target) = self.0.target() else {
            unreachable!("it was accepted there")
        };
        Poll::Ready(Ok(PendingReply {
            receipt: Some(receipt),
            limit,
            actor: target.name().clone(),
            id: target.id(),
            #[cfg(debug_assertions)]
            wait: super::circle::Wait::default(),
        }))
    }
}

impl<M: Message> fmt::Debug for Enqueue<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enqueue").finish_non_exhaustive()
    }
}

/// The answer of a message that was accepted, to be awaited anywhere. A limit of the ask goes on.
///
/// Awaited in the actor's own handler while the message is queued behind it, it takes the message back as
/// [`AskError::WouldDeadlock`].
///
/// # Cancel safety
/// As for [`Ask`]: dropping it abandons a message that is still queued, and never cancels a handler that runs. To
/// have a message handled whatever happens, tell it.
#[must_use = "dropping it abandons the message"]
pub struct PendingReply<M: Message> {
    /// There until it is answered.
    receipt: Option<ReceiptOf<M>>,
    limit: Limit,
    actor: ActorName,
    id: ActorId,
    #[cfg(debug_assertions)]
    wait: super::circle::Wait,
}

// Nothing is pinned inside.
impl<M: Message> Unpin for PendingReply<M> {}

impl<M: Message> Future for PendingReply<M> {
    type Output = Result<M::Response, AskError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(receipt) = &mut this.receipt else {
            panic!("a reply was polled after it had completed");
        };
        let actor = || this.actor.clone();
        if let Poll::Ready(answer) = receipt.poll_answer(cx) {
            this.receipt = None;
            #[cfg(debug_assertions)]
            this.wait.end();
            return Poll::Ready(answer.into_result(actor));
        }
        let waits_for_itself = this.id.is_current() && receipt.is_queued();
        #[cfg(debug_assertions)]
        if !waits_for_itself {
            this.wait
                .begin(this.id.number(), &this.actor, || Box::new(receipt.watch()));
        }
        if !waits_for_itself {
            ready!(this.limit.poll_passed(cx));
        }
        Poll::Ready(match this.receipt.take().map(ReceiptOf::<M>::expire) {
            Some(Expiry::Revoked(message)) if waits_for_itself => {
                Err(AskError::WouldDeadlock(message))
            }
            Some(Expiry::Revoked(message)) => Err(AskError::Expired(message)),
            Some(Expiry::Answered(answer)) => answer.into_result(actor),
            Some(Expiry::Running) | None => Err(AskError::TimedOut {
                actor: actor(),
                message: type_name::<M>(),
            }),
        })
    }
}

impl<M: Message> Drop for PendingReply<M> {
    fn drop(&mut self) {
        if let Some(receipt) = self.receipt.take() {
            receipt.abandon(M::RUN_IF_ABANDONED);
        }
    }
}

impl<M: Message> fmt::Debug for PendingReply<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingReply")
            .field("actor", &self.actor)
            .field("message", &short_type_name::<M>())
            .finish_non_exhaustive()
    }
}
