//! Giving way to other tasks: as every tokio resource does, and sooner where handlers run in their askers' tasks.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::task::coop::{RestoreOnPending, has_budget_remaining, poll_proceed};
use tokio::task::yield_now;

/// How many messages an actor's task handles in one turn at most: as many as a task has units of tokio's budget.
const MESSAGES: u32 = 128;

/// The unit of the task's budget stays spent. What `made_progress` does, without a drop that looks whether it was
/// called.
#[inline]
pub(super) fn spend(unit: RestoreOnPending) {
    std::mem::forget(unit);
}

/// How many messages an actor's task may still handle before it gives way.
///
/// Taking a unit of the budget for each costs a tenth of what handling it does. So the first message of a turn takes
/// one, and the others are counted here; and the turn ends early if the handlers have used the budget up.
#[derive(Default)]
pub(super) struct Pace(u32);

impl Pace {
    /// Whether one more message may be handled now. If not, the task will be woken after others. What is taken for it
    /// comes back with [`count`](Self::count).
    #[inline]
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<RestoreOnPending>> {
        if self.0 == 0 {
            return poll_proceed(cx).map(Some);
        }
        if self.0 == MESSAGES || !has_budget_remaining() {
            return give_way(cx);
        }
        Poll::Ready(None)
    }

    /// A message is being handled.
    #[inline]
    pub(super) fn count(&mut self, unit: Option<RestoreOnPending>) {
        if let Some(unit) = unit {
            spend(unit);
        }
        self.0 += 1;
    }
}

/// How many asks in a row a task answers itself where other tasks of the thread do the same. Each of them waits for all
/// the others' turns; so many asks take about as long as one that goes through the actor's task.
const AMONG_OTHERS: i32 = 8;

/// The same for a task that keeps nobody else waiting so, and for all tasks of the thread together.
const ALONE: i32 = 128;

/// The task of this thread that has last run a handler itself, and how many it and all may still run.
#[derive(Clone, Copy)]
struct Asker {
    /// What its waker points at: only compared.
    task: *const (),
    left: i32,
    left_of_all: i32,
}

thread_local! {
    static ASKER: Cell<Asker> = const {
        Cell::new(Asker {
            task: std::ptr::null(),
            left: AMONG_OTHERS,
            left_of_all: ALONE,
        })
    };
}

/// Whether a task may run one more handler itself, rather than wait for the actor's task as it would otherwise do. If
/// not, it will be woken after others.
///
/// tokio's budget would let each task run 128 of them in one turn: fair where a turn is one of a few, and a hundred
/// times what an ask takes where one actor is asked by many.
#[inline]
pub(super) fn poll_to_run(outermost: bool, cx: &mut Context<'_>) -> Poll<()> {
    ASKER.with(|asker| {
        let mut now = asker.get();
        let task = cx.waker().data();
        if now.task != task {
            // It may also be another future of the same task: each of them costs the task a unit, so that it comes to an
            // end however many there are.
            spend(ready!(poll_proceed(cx)));
            now.task = task;
            now.left = AMONG_OTHERS;
        }
        now.left -= 1;
        now.left_of_all -= 1;
        // Inside a handler, giving way may mean that this has to be handed over to its actor's task, which costs more
        // than it spares. So does starting one that uses what tokio has, without budget for it.
        let most = if outermost { 0 } else { -ALONE };
        let all = now.left_of_all < most || !has_budget_remaining();
        let over = all || now.left < 0 && outermost;
        if over {
            // Should nobody else ask before it comes back, it is alone.
            now.left = ALONE;
            now.left_of_all = ALONE;
        }
        asker.set(now);
        if over {
            to_others(all, cx)
        } else {
            Poll::Ready(())
        }
    })
}

#[cold]
fn to_others(all: bool, cx: &mut Context<'_>) -> Poll<()> {
    if all {
        return give_way(cx);
    }
    // To the end of the queue, without a look at the timers and sockets each time.
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Has the task of this context woken when others have had their turn.
#[cold]
pub(super) fn give_way<T>(cx: &mut Context<'_>) -> Poll<T> {
    // This does it when it is polled first, and is not needed after.
    ready!(pin!(yield_now()).poll(cx));
    cx.waker().wake_by_ref();
    Poll::Pending
}
