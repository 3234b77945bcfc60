//! The order of accepted messages: an intrusive list, pushed by many threads and popped by one.
//!
//! ```text
//!   first (the receiver's)                tail (the senders')
//!     │                                     │
//!     ▼                                     ▼
//!   ┌──────┐ next ┌──────┐   not yet     ┌──────┐
//!   │ A    │ ───► │ B    │ ─ ─ ─ ─ ─ ─ ─ │ C    │ ───► null
//!   └──────┘      └──────┘   linked      └──────┘
//! ```
//!
//! A push swaps `tail` and then links its predecessor to itself, as in Dmitry Vyukov's intrusive MPSC queue
//! (1024cores.net), but an empty list has null pointers instead of a stub. Between the two steps of a push what
//! comes behind cannot be reached, and a pop finds nothing. So the receiver never trusts an empty look: it
//! knows from the count of accepted messages whether there are more to come, and looks again.

use super::prefetch::prefetch;
use super::sync::{AtomicPtr, Ordering, UnsafeCell, relax};
use std::ptr::{self, NonNull};

/// The part of a cell that the queue uses. The first field of every cell.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Header {
    next: AtomicPtr<Header>,
    /// What the receiver does with it: a `Kind` of the mailbox it is in. Written before it is pushed.
    kind: UnsafeCell<*const ()>,
}

impl Header {
    pub(super) fn new() -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            kind: UnsafeCell::new(ptr::null()),
        }
    }

    /// # Safety
    /// It was pushed, and the caller has seen that.
    unsafe fn kind(&self) -> *const () {
        // SAFETY: written before it was pushed, and not again before it is pushed again.
        self.kind.with(|kind| unsafe { *kind })
    }
}

/// The list. Messages come out in the order in which their pushes swapped `tail`; one push that ended before
/// another began comes first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Queue {
    /// The youngest, or null if there is none.
    tail: AtomicPtr<Header>,
    apart: Apart,
    /// The oldest, or null if there is none or its push is not done. Written by a push that found the list
    /// empty, else by the receiver.
    first: AtomicPtr<Header>,
}

/// Keeps what senders write and what the receiver writes on different cache lines: each would otherwise wait for the
/// other at every message. In the mailbox what senders write lies before, and what the receiver writes behind.
#[derive(Debug, Default)]
struct Apart {
    _unused: [u64; 7],
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            tail: AtomicPtr::new(ptr::null_mut()),
            apart: Apart::default(),
            first: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Appends.
    ///
    /// # Safety
    /// `header` is valid and in no queue; it is the queue's until `pop` returns it.
    #[inline]
    pub(super) unsafe fn push(&self, header: NonNull<Header>, kind: *const ()) {
        let new = header.as_ptr();
        {
            // SAFETY: valid, and nobody else has it yet. This reference ends before the swap gives it away.
            let own = unsafe { header.as_ref() };
            // SAFETY: as above.
            own.kind.with_mut(|own| unsafe { *own = kind });
            own.next.store(ptr::null_mut(), Ordering::Relaxed);
        }
        let before = self.tail.swap(new, Ordering::AcqRel);
        if before.is_null() {
            // The receiver emptied `first` before it emptied `tail`, so this does not race with it.
            self.first.store(new, Ordering::Release);
        } else {
            // SAFETY: `before` was pushed and is not yet popped: a header with no `next` is popped only by
            // setting `tail` from it to null, which the swap above has made impossible, and its `next` is set
            // by this line alone.
            unsafe { &*before }.next.store(new, Ordering::Release);
        }
    }

    /// Whether the push of the oldest is done. This touches nothing but the queue itself.
    #[inline]
    pub(super) fn has_first(&self) -> bool {
        !self.first.load(Ordering::Acquire).is_null()
    }

    /// The oldest, if its own push and the push behind it are done.
    ///
    /// # Safety
    /// Only one thread at a time calls `pop`, `peek` or `pop_accepted`, each call happening before the next.
    #[inline]
    pub(super) unsafe fn pop(&self) -> Option<NonNull<Header>> {
        let first = NonNull::new(self.first.load(Ordering::Acquire))?;
        // SAFETY: what `first` leads to was pushed and is not yet popped, and only this caller pops.
        let next = unsafe { first.as_ref() }.next.load(Ordering::Acquire);
        // If it is the last, a push that comes after `tail` is emptied writes `first` itself.
        self.first.store(next, Ordering::Relaxed);
        prefetch(next);
        if next.is_null() {
            let last = self.tail.compare_exchange(
                first.as_ptr(),
                ptr::null_mut(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if last.is_err() {
                // The push behind it has not linked it yet, so what follows it is not known.
                self.first.store(first.as_ptr(), Ordering::Relaxed);
                return None;
            }
        }
        Some(first)
    }

    /// The kind of the oldest, if its push is done.
    ///
    /// # Safety
    /// As for `pop`.
    pub(super) unsafe fn peek(&self) -> Option<*const ()> {
        let first = NonNull::new(self.first.load(Ordering::Acquire))?;
        // SAFETY: as in `pop`.
        Some(unsafe { first.as_ref().kind() })
    }

    /// The kinds of what is queued, oldest first, as far as their pushes are done.
    ///
    /// # Safety
    /// As for `pop`.
    #[cfg(feature = "testing")]
    pub(super) unsafe fn each(&self, mut look: impl FnMut(*const ())) {
        let mut at = NonNull::new(self.first.load(Ordering::Acquire));
        while let Some(header) = at {
            // SAFETY: what `first` and every `next` behind it lead to was pushed and is not yet popped.
            let (kind, next) = unsafe { (header.as_ref().kind(), &header.as_ref().next) };
            look(kind);
            at = NonNull::new(next.load(Ordering::Acquire));
        }
    }

    /// Like `pop`, for a message that is there or was accepted: a sender that stands between the two steps of its
    /// push, which are a few instructions, is waited for.
    ///
    /// # Safety
    /// As for `pop`, and a message that has been accepted must not have been popped yet.
    #[inline]
    pub(super) unsafe fn pop_accepted(&self) -> NonNull<Header> {
        let mut looks = 0;
        loop {
            // SAFETY: as for this function.
            if let Some(header) = unsafe { self.pop() } {
                return header;
            }
            relax(&mut looks);
        }
    }
}

/// The kind of a header that was popped.
///
/// # Safety
/// `header` came from `pop`, and has not been given away.
pub(super) unsafe fn kind_of(header: NonNull<Header>) -> *const () {
    // SAFETY: the caller has it.
    unsafe { header.as_ref().kind() }
}
