//! Giving way to other tasks, as every tokio resource does.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::task::coop::{RestoreOnPending, has_budget_remaining};
use tokio::task::yield_now;

/// How many messages an actor's task handles in one turn at most: as many as a task has units of tokio's budget.
const MESSAGES: u32 = 128;
/// The same if its handlers are brief. As long as messages are left in its queue, none is handled in its sender's task,
/// and many senders would keep it so.
const BRIEF_MESSAGES: u32 = 1024;
/// How long [`MESSAGES`] of them may take, or no more are handled in this turn.
const BRIEF_TIME: Duration = Duration::from_micros(256);

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
pub(super) struct Pace {
    handled: u32,
    /// When it was last asked whether the handlers are brief.
    looked: Option<Instant>,
}

impl Pace {
    /// Whether one more message may be handled now. If not, the task will be woken after others. Whether the handlers are
    /// brief is asked once in a while.
    #[inline]
    pub(super) fn poll(
        &mut self,
        are_brief: impl FnOnce() -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let handled = self.handled;
        if handled == 0 || !handled.is_multiple_of(MESSAGES) && has_budget_remaining() {
            return Poll::Ready(());
        }
        if handled < BRIEF_MESSAGES && are_brief() && has_budget_remaining() && self.is_in_time() {
            return Poll::Ready(());
        }
        give_way(cx)
    }

    #[cold]
    fn is_in_time(&mut self) -> bool {
        let now = Instant::now();
        let before = self.looked.replace(now);
        before.is_none_or(|before| now - before <= BRIEF_TIME)
    }

    /// A message is being handled.
    #[inline]
    pub(super) const fn count(&mut self) {
        self.handled += 1;
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

#[cfg(test)]
mod tests {
    use super::{BRIEF_MESSAGES, BRIEF_TIME, MESSAGES, Pace};
    use std::task::{Context, Waker};

    /// How many messages are handled in one turn.
    fn in_one_turn(are_brief: impl Fn(u32) -> bool) -> u32 {
        let mut pace = Pace::default();
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let handled = pace.handled;
            if pace.poll(|| are_brief(handled), &mut cx).is_pending() {
                return handled;
            }
            pace.count();
        }
    }

    #[test]
    fn r18_a_turn_that_takes_long_is_not_made_longer() {
        let mut pace = Pace::default();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..2 * MESSAGES {
            assert!(pace.poll(|| true, &mut cx).is_ready());
            pace.count();
        }
        let begun = pace.looked.unwrap();
        while begun.elapsed() <= BRIEF_TIME {}
        assert!(pace.poll(|| true, &mut cx).is_pending());
    }

    #[test]
    fn r18_brief_handlers_have_longer_turns() {
        assert_eq!(in_one_turn(|_| false), MESSAGES);
        assert_eq!(in_one_turn(|_| true), BRIEF_MESSAGES);
        assert_eq!(in_one_turn(|n| n < 300), 3 * MESSAGES, "they no longer are");
    }
}
