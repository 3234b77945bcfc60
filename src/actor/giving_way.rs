//! Giving way to other tasks, as every tokio resource does.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::task::coop::{RestoreOnPending, has_budget_remaining};
use tokio::task::yield_now;

/// How many messages an actor's task handles in one turn at most: as many as a task has units of tokio's budget.
const MESSAGES: u32 = 128;

/// The unit of the task's budget stays spent. What `made_progress` does, without a drop that looks whether it was
/// called.
#[inline]
pub(super) fn spend(unit: RestoreOnPending) {
    std::mem::forget(unit);
}

/// How many messages an actor's task has handled in this turn.
///
/// Taking a unit of the budget for each costs a tenth of what handling it does. So they are counted here; and the turn
/// ends early if the handlers have used the budget up.
#[derive(Default)]
pub(super) struct Pace(u32);

impl Pace {
    /// Whether one more message may be handled now. If not, the task will be woken after others.
    #[inline]
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 > 0 && (self.0 == MESSAGES || !has_budget_remaining()) {
            return give_way(cx);
        }
        Poll::Ready(())
    }

    /// A message is being handled.
    #[inline]
    pub(super) const fn count(&mut self) {
        self.0 += 1;
    }
}

/// Has the task of this context woken when others have had their turn.
#[cold]
pub(super) fn give_way<T>(cx: &mut Context<'_>) -> Poll<T> {
    // This does it when it is polled first, and is not needed after.
    ready!(pin!(yield_now()).poll(cx));
    cx.waker().wake_by_ref();
    Poll::Pending
}
