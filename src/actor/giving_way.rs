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

/// The same for a task that keeps nobody else waiting so.
const ALONE: i32 = 128;

/// The task of this thread that has last run a handler itself.
struct Asker {
    /// What its waker points at: only compared.
    task: Cell<*const ()>,
    /// How many it may in a row.
    most: Cell<i32>,
    /// How many of them are left.
    left: Cell<i32>,
}

thread_local! {
    static ASKER: Asker = const {
        Asker {
            task: Cell::new(std::ptr::null()),
            most: Cell::new(AMONG_OTHERS),
            left: Cell::new(AMONG_OTHERS),
        }
    };
}

/// Whom an asker is to give way to.
pub(super) enum GiveWay {
    /// To whoever is queued, without a look at the timers and sockets each time.
    Others,
    /// To everything, as every tokio resource does.
    Everything,
}

impl GiveWay {
    /// Has the task woken after them. Not while the turn is lent: a waker that panics would keep it.
    #[cold]
    pub(super) fn give_way(self, cx: &mut Context<'_>) {
        match self {
            Self::Others => cx.waker().wake_by_ref(),
            Self::Everything => {
                let _: Poll<()> = give_way(cx);
            }
        }
    }
}

/// Whether a task may run one more handler itself, rather than wait for the actor's task as it would otherwise do.
///
/// A unit of tokio's budget for each would let each task run 128 of them in one turn: fair where a turn is one of a few,
/// and a hundred times what an ask takes where one actor is asked by many.
#[inline]
pub(super) fn may_run(outermost: bool, cx: &mut Context<'_>) -> Result<(), GiveWay> {
    ASKER.with(|asker| {
        let task = cx.waker().data();
        if asker.task.get() != task {
            asker.task.set(task);
            asker.begin(AMONG_OTHERS);
        }
        let left = asker.left.get();
        // Inside a handler, giving way may mean that this has to be handed over to its actor's task, which costs more
        // than it spares.
        if left <= 0 && (outermost || left <= asker.most.get() - ALONE) {
            return Err(asker.is_over());
        }
        if left % AMONG_OTHERS == 0 {
            // One task may be many futures, each with a waker of its own or all with one: together they come to an end
            // with its budget.
            if has_budget_remaining() {
                // It is ready, and wakes nobody.
                if let Poll::Ready(unit) = poll_proceed(cx) {
                    spend(unit);
                }
            } else if outermost {
                return Err(GiveWay::Everything);
            }
        }
        asker.left.set(left - 1);
        Ok(())
    })
}

impl Asker {
    fn begin(&self, most: i32) {
        self.most.set(most);
        self.left.set(most);
    }

    #[cold]
    fn is_over(&self) -> GiveWay {
        let was_alone = self.most.get() == ALONE;
        // Should nobody else ask before it comes back, it is alone.
        self.begin(ALONE);
        if was_alone {
            GiveWay::Everything
        } else {
            GiveWay::Others
        }
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
