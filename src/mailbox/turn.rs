//! Whose turn it is: the right to touch the actor's state, as one word. A sender that runs a handler itself borrows it.
//!
//! ```text
//!            a send or a raised level          ┌───────────────┐
//!      ┌─────────────────────────────────────► │ HELD          │ the actor's task runs, or will
//!      │            (and wakes the task)       └─▲───▲───┬─────┘
//!      │                                         │   │   │ the task has nothing to do
//!  ┌───┴──┐ ◄────────────────────────────────────┼───┼───┘
//!  │ FREE │                                      │   │ the task's next poll, while FREE
//!  └───┬──┘ ◄──────────────┐                     └───┼──────────────── FREE
//!      │ a borrower        │ the borrower is done    │
//!      └───────────► ┌─────┴──┐ ─────────────────────┘
//!                    │ LENT   │   the handler waits, panicked, or there is work (and wakes the task)
//!                    └─┬────┬─┘
//!       a send, a level│    │the task is dropped
//!                ┌─────▼─┐ ┌▼─────────┐
//!                │ NOTED │ │ ORPHANED │   the borrower, when it is done, wakes the task / ends the actor
//!                └───────┘ └──────────┘
//! ```
//!
//! A sender that finds the turn held or lent leaves the rest to the holder, and a holder that lets go looks once
//! more after it has let go: sends count themselves as accepted before they look at the turn, holders let go of
//! the turn before they look at the count, all sequentially consistent, so one of the two sees the other.

use super::sync::{AtomicBool, AtomicU8, Ordering, UnsafeCell};
use std::task::Waker;

const FREE: u8 = 0;
const HELD: u8 = 1;
const LENT: u8 = 2;
const NOTED: u8 = 3;
const ORPHANED: u8 = 4;

/// What a borrower finds when it returns the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    /// The actor's task has it, or nobody.
    Back,
    /// The task is gone: the borrower has the turn, for good.
    Orphaned,
}

#[derive(Debug)]
pub(super) struct Turn {
    state: AtomicU8,
    known: AtomicBool,
    /// The task's waker, written once, before `known` is set.
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: `waker` is written once, by the one task, before `known` is set, and only read after.
unsafe impl Sync for Turn {}

impl Turn {
    /// Held by the task that is to come.
    pub(super) fn new() -> Self {
        Self {
            state: AtomicU8::new(HELD),
            known: AtomicBool::new(false),
            waker: UnsafeCell::new(None),
        }
    }

    /// Tells the turn which task it is about. False if it knows.
    ///
    /// # Safety
    /// Only one task calls this, and not two calls at once.
    #[inline]
    pub(super) unsafe fn introduce(&self, waker: &Waker) -> bool {
        let is_new = !self.known.load(Ordering::Relaxed);
        if is_new {
            // SAFETY: not known yet, so nobody reads it, and by the contract nobody else writes it.
            self.waker
                .with_mut(|own| unsafe { *own = Some(waker.clone()) });
            // SeqCst: what was asked for before this is seen by the task afterwards, see `interrupt`.
            self.known.store(true, Ordering::SeqCst);
        }
        is_new
    }

    /// Wakes the task. One that was never polled will look at everything when it is.
    fn wake(&self) {
        if self.known.load(Ordering::SeqCst) {
            // SAFETY: written before `known` was set, and never again.
            self.waker.with(|waker| unsafe {
                if let Some(waker) = &*waker {
                    waker.wake_by_ref();
                }
            });
        }
    }

    /// There is something to do for the holder. Called after it was made visible. Whether this has woken the task.
    #[inline]
    pub(super) fn notify(&self) -> bool {
        let was_free = self.claim() == FREE;
        if was_free {
            self.wake();
        }
        was_free
    }

    /// Takes the turn for the task, or leaves word to the borrower that has it. How it was before.
    #[inline]
    fn claim(&self) -> u8 {
        loop {
            // SeqCst: whoever returns the turn looks for the task's waker, which was set before, see `introduce`.
            let state = self.state.load(Ordering::SeqCst);
            let next = match state {
                FREE => HELD,
                LENT => NOTED,
                _ => return state,
            };
            let changed =
                self.state
                    .compare_exchange(state, next, Ordering::SeqCst, Ordering::SeqCst);
            if changed.is_ok() {
                return state;
            }
        }
    }

    /// There is something to do even for a task that holds the turn and waits for its handler.
    pub(super) fn interrupt(&self) {
        if !self.notify() {
            self.wake();
        }
    }

    /// The task wants the turn; false if a borrower has it, who will wake the task when it is done.
    #[inline]
    pub(super) fn take(&self) -> bool {
        matches!(self.claim(), FREE | HELD)
    }

    /// The task, which holds the turn, lets go of it. It then looks once more for something to do, and if there
    /// is calls `take` again. A borrower may have had the turn meanwhile, and returned it with a handler that runs.
    #[inline]
    pub(super) fn free(&self) {
        self.state.store(FREE, Ordering::SeqCst);
    }

    /// The same before anybody else has the mailbox: whoever gets it later sees all that was done before.
    #[inline]
    pub(super) fn free_unshared(&self) {
        self.state.store(FREE, Ordering::Release);
    }

    /// Whether nobody has the turn, just now.
    #[inline]
    pub(super) fn is_free(&self) -> bool {
        self.state.load(Ordering::Relaxed) == FREE
    }

    /// Whether a borrower has the turn, and has it for a moment: nothing else is to be done yet.
    #[inline]
    pub(super) fn is_lent(&self) -> bool {
        self.state.load(Ordering::Relaxed) == LENT
    }

    /// A borrower wants the turn.
    #[inline]
    pub(super) fn borrow(&self) -> bool {
        self.state
            .compare_exchange(FREE, LENT, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// The borrower is done, and saw nothing else to do.
    #[inline]
    pub(super) fn hand_back(&self) -> Returned {
        match self
            .state
            .compare_exchange(LENT, FREE, Ordering::SeqCst, Ordering::Acquire)
        {
            Ok(_) => Returned::Back,
            Err(_) => self.hand_over(),
        }
    }

    /// The borrower leaves the rest to the task.
    pub(super) fn hand_over(&self) -> Returned {
        if self.state.swap(HELD, Ordering::SeqCst) == ORPHANED {
            return Returned::Orphaned;
        }
        self.wake();
        Returned::Back
    }

    /// The task goes away for good. True if it has the turn now, and nobody will ever take it again; false if
    /// a borrower has it, who will be told.
    pub(super) fn resign(&self) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let next = match state {
                HELD => return true,
                FREE => HELD,
                _ => ORPHANED,
            };
            match self
                .state
                .compare_exchange_weak(state, next, Ordering::SeqCst, Ordering::Acquire)
            {
                Ok(found) => return found == FREE,
                Err(seen) => state = seen,
            }
        }
    }
}
