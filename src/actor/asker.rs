//! The task that runs handlers itself, as it asks or tells: which runtime it is on, and how many it may run in a row.

use super::giving_way::{give_way, spend};
use std::cell::Cell;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::task::{Context, Poll, RawWakerVTable, Waker};
use tokio::runtime::{self, Handle};
use tokio::task;
use tokio::task::coop::{has_budget_remaining, poll_proceed};

/// After how many handlers a task spends a unit of tokio's budget, and its runtime is looked up again.
const ROUND: i32 = 4;

/// How many handlers in a row a task runs where other tasks of the thread do the same. Each of them waits for all the
/// others' turns; so many asks take about as long as one that goes through the actor's task.
const AMONG_OTHERS: i32 = ROUND;

/// The same for a task that keeps nobody else waiting so.
const ALONE: i32 = 32 * ROUND;

/// One in how many told messages is queued although it might be handled.
const QUEUED_ONE_IN: u16 = 1024;

/// The task of this thread that has last asked where it might run the handler itself.
struct Asker {
    /// `None` for what blocks on a future, be it a task or not.
    id: Cell<Option<task::Id>>,
    /// What its waker points at: only compared. A task may block on futures that have another, and another runtime.
    waker: Cell<*const ()>,
    /// The runtime that it was on when that was last looked up.
    runtime: Cell<Option<runtime::Id>>,
    /// How many handlers it may run in a row.
    most: Cell<i32>,
    /// How many of them are left.
    left: Cell<i32>,
    /// How many handlers of told messages this thread has run or tried to run, modulo 65,536.
    told: Cell<u16>,
}

thread_local! {
    static ASKER: Asker = const {
        Asker {
            id: Cell::new(None),
            waker: Cell::new(std::ptr::null()),
            runtime: Cell::new(None),
            most: Cell::new(AMONG_OTHERS),
            left: Cell::new(AMONG_OTHERS),
            told: Cell::new(0),
        }
    };
}

// Where it is used for each ask, a closure does so little that it is inlined, and `with` around it.

/// Whether the asker of this context is on this runtime.
#[inline]
pub(super) fn asks_on(runtime: runtime::Id, cx: &Context<'_>) -> bool {
    let is_due = is_to_pause(ASKER.with(|asker| asker.left.get()));
    is_on(runtime, is_due, cx)
}

/// The same for who tells. How many handlers of told messages it may run in a row is for tokio's budget to say, of which
/// each tell takes a unit. But a task may have none: so that it finds the mailbox full then, some are queued.
#[inline]
pub(super) fn tells_on(runtime: runtime::Id, cx: &Context<'_>) -> bool {
    let told = ASKER.with(|asker| asker.told.get());
    ASKER.with(|asker| asker.told.set(told.wrapping_add(1)));
    told % QUEUED_ONE_IN != QUEUED_ONE_IN - 1 && is_on(runtime, i32::from(told) % ROUND == 0, cx)
}

/// To look that up costs as much as all the rest of an ask, for every thread of a runtime then writes to the same word.
/// But a task stays on its runtime, so it is looked up when it is not the task that asked last, and once in a round.
#[inline]
fn is_on(runtime: runtime::Id, is_due: bool, cx: &Context<'_>) -> bool {
    let id = task::try_id();
    let on = if id.is_some()
        && ASKER.with(|asker| asker.id.get()) == id
        && ASKER.with(|asker| asker.waker.get()) == cx.waker().data()
        && !is_due
    {
        ASKER.with(|asker| asker.runtime.get())
    } else {
        look_up(id, cx)
    };
    on == Some(runtime)
}

/// The runtime that the asker is on. One that did not ask last begins to count.
#[cold]
fn look_up(id: Option<task::Id>, cx: &Context<'_>) -> Option<runtime::Id> {
    // A task that blocks on a future, on whichever runtime, keeps its number and has the thread's waker.
    let id = id.filter(|_| is_a_tasks(cx.waker()));
    let waker = cx.waker().data();
    let runtime = Handle::try_current().ok().map(|handle| handle.id());
    ASKER.with(|asker| {
        let is_same = asker.id.replace(id) == id;
        if asker.waker.replace(waker) != waker || !is_same {
            asker.begin(AMONG_OTHERS);
        }
        asker.runtime.set(runtime);
    });
    runtime
}

/// What tokio's tasks do with their wakers: the same for all. Null before any actor has run.
static OF_TASKS: AtomicPtr<RawWakerVTable> = AtomicPtr::new(std::ptr::null_mut());

/// Tells what a task's waker looks like.
#[inline]
pub(super) fn introduce(task: &Waker) {
    if !is_a_tasks(task) {
        OF_TASKS.store(
            std::ptr::from_ref(task.vtable()).cast_mut(),
            Ordering::Relaxed,
        );
    }
}

fn is_a_tasks(waker: &Waker) -> bool {
    std::ptr::eq(OF_TASKS.load(Ordering::Relaxed), waker.vtable())
}

/// Whether there is more to do before the next handler than to count it.
#[inline]
const fn is_to_pause(left: i32) -> bool {
    left <= 0 || left % ROUND == 0
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

/// Whether a task that [is on](asks_on) the actor's runtime may run one more handler itself, rather than wait for the
/// actor's task as it would otherwise do.
///
/// A unit of tokio's budget for each would let each task run 128 of them in one turn: fair where a turn is one of a few,
/// and a hundred times what an ask takes where one actor is asked by many.
#[inline]
pub(super) fn may_run(outermost: bool, cx: &mut Context<'_>) -> Result<(), GiveWay> {
    let left = ASKER.with(|asker| asker.left.get());
    if is_to_pause(left) {
        return pause(outermost, cx);
    }
    ASKER.with(|asker| asker.left.set(left - 1));
    Ok(())
}

/// A round begins, or all that a task may do in a row is done.
#[cold]
fn pause(outermost: bool, cx: &mut Context<'_>) -> Result<(), GiveWay> {
    let (left, most) = ASKER.with(|asker| (asker.left.get(), asker.most.get()));
    // Inside a handler, giving way may mean that this has to be handed over to its actor's task, which costs more
    // than it spares.
    if left <= 0 && (outermost || left <= most - ALONE) {
        return Err(ASKER.with(Asker::is_over));
    }
    if left % ROUND == 0 {
        // One task may be many futures: together they come to an end with its budget.
        if has_budget_remaining() {
            // It is ready, and wakes nobody.
            if let Poll::Ready(unit) = poll_proceed(cx) {
                spend(unit);
            }
        } else if outermost {
            return Err(GiveWay::Everything);
        }
    }
    ASKER.with(|asker| asker.left.set(left - 1));
    Ok(())
}

impl Asker {
    fn begin(&self, most: i32) {
        self.most.set(most);
        self.left.set(most);
    }

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
