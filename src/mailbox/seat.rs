//! The actor's state, and the slot in which its one running handler lives.
//!
//! ```text
//!  Seat<S>                             on the heap, as large as the largest handler so far
//! ┌───────────────────────┐           ┌──────────────────────────────────────────┐
//! │ state: Option<S>      │ ◄──────── │ a handler's future, which borrows state  │
//! │ slot: buffer, layout  │ ────────► │                                          │
//! │       current: dyn Run│           └──────────────────────────────────────────┘
//! └───────────────────────┘
//! ```
//!
//! A future of 4 KiB is thus paid once per actor, and not per queued message. Whoever has the
//! [`Turn`](super::turn::Turn) has the seat for itself. It reaches either the state or the running handler,
//! never both: while a handler runs, the state is borrowed by it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::error::Error;
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::{Context, Poll};

/// What something that ran has to say. Only hooks have errors; a handler's error is its asker's.
pub(crate) type Verdict = Result<(), Arc<dyn Error + Send + Sync>>;

/// Something that runs in the slot.
pub(crate) trait Run: Send {
    /// Goes on with it. After `Ready` it is only dropped.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict>;

    /// It panicked, or is killed: it is torn down, and whoever waits for it is told. Returns what a panic in
    /// tearing it down said.
    fn end(self: Pin<&mut Self>, ending: &Ending) -> Option<Arc<str>>;

    /// The type of the messages that are being handled.
    fn message(&self) -> &'static str;
}

/// How something that ran has ended before it was done.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    Panicked(Arc<str>),
    Killed,
}

/// Begins something that borrows the state and runs in the slot.
///
/// Starting must run no code of the user's: that is for the first poll, where panics are caught.
pub(crate) trait Start<S>: 'static {
    fn start(self, state: &mut S) -> impl Run;
}

/// Begins something whose answer is wanted at once if it is there at once.
pub(crate) trait StartInPlace<S>: 'static {
    /// The answer.
    type Answer;
    /// Where the answer will be, if it is not there at once.
    type Receipt;

    fn start(
        self,
        state: &mut S,
    ) -> impl RunInPlace<Answer = Self::Answer, Receipt = Self::Receipt>;
}

/// See [`StartInPlace`].
pub(crate) trait RunInPlace: Run {
    type Answer;
    type Receipt;

    /// After `Ready`: the answer, if it was given by returning it.
    fn answer(self: Pin<&mut Self>) -> Self::Answer;

    /// After `Pending`: from now on the answer goes to the receipt.
    fn defer(self: Pin<&mut Self>) -> Self::Receipt;
}

/// What became of something that was started in place.
pub(crate) enum InPlace<A, R> {
    /// It is done. The text is what a panic in dropping it said.
    Done(A, Option<Arc<str>>),
    /// It runs on in the slot.
    Waits(R),
    /// It panicked. It is in the slot, to be ended.
    Panicked(Arc<str>),
}

/// Calls code that may panic.
pub(crate) trait Guard {
    /// The error is what the panic said.
    fn call<T>(&self, code: impl FnOnce() -> T) -> Result<T, Arc<str>>;
}

/// The state and its slot.
pub(crate) struct Seat<S> {
    state: Option<S>,
    slot: Slot,
}

struct Slot {
    /// Dangling while the layout's size is 0.
    buffer: NonNull<u8>,
    layout: Layout,
    /// What runs in the buffer. It borrows the state for a lifetime that has no name here.
    current: Option<NonNull<dyn Run>>,
}

// SAFETY: what the pointers lead to is owned: a buffer, and in it a `Run`, which is `Send`.
unsafe impl Send for Slot {}

impl<S> Seat<S> {
    pub(super) const fn new() -> Self {
        Self {
            state: None,
            slot: Slot {
                buffer: NonNull::dangling(),
                layout: Layout::new::<()>(),
                current: None,
            },
        }
    }

    /// Whether something runs.
    #[inline]
    pub(crate) const fn is_running(&self) -> bool {
        self.slot.current.is_some()
    }

    /// The state, if there is one and nothing runs.
    pub(crate) fn state(&mut self) -> Option<&mut S> {
        if self.is_running() {
            return None;
        }
        self.state.as_mut()
    }

    /// Puts a state in. The one before, if any, comes back. Not while something runs.
    pub(crate) fn sit(&mut self, state: S) -> Option<S> {
        assert!(!self.is_running(), "the state is borrowed by what runs");
        self.state.replace(state)
    }

    /// Takes the state out, unless something runs.
    pub(crate) fn stand(&mut self) -> Option<S> {
        if self.is_running() {
            return None;
        }
        self.state.take()
    }

    /// Starts something in the slot. It is not polled.
    ///
    /// # Panics
    /// If there is no state, or something runs: a mistake in the run loop.
    #[inline]
    pub(crate) fn start(&mut self, starter: impl Start<S>) {
        assert!(!self.is_running(), "one thing runs at a time");
        let state = self.state.as_mut().expect("nothing runs without a state");
        let run = starter.start(state);
        let place = self.slot.room_for(Layout::for_value(&run)).cast();
        // SAFETY: the room is as large and aligned as this type needs, and nothing is in it.
        unsafe { place.write(run) };
        self.slot.current = Some(erase(place));
    }

    /// Starts something and polls it once.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[inline]
    pub(crate) fn start_in_place<T: StartInPlace<S>>(
        &mut self,
        starter: T,
        guard: &impl Guard,
        cx: &mut Context<'_>,
    ) -> InPlace<T::Answer, T::Receipt> {
        assert!(!self.is_running(), "one thing runs at a time");
        let state = self.state.as_mut().expect("nothing runs without a state");
        let slot = &mut self.slot;
        in_place(slot, starter.start(state), guard, cx)
    }

    /// What runs.
    #[inline]
    pub(crate) fn running(&mut self) -> Option<Pin<&mut dyn Run>> {
        let current = self.slot.current?;
        // SAFETY: `current` is valid while it is set, is reached only through `&mut self`, and stays where it is
        // until it is dropped, so it may be pinned.
        Some(unsafe { Pin::new_unchecked(&mut *current.as_ptr()) })
    }

    /// Drops what runs. A panic in that goes on to the caller, and nothing runs any more.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.slot.clear();
    }
}

impl<S> Drop for Seat<S> {
    fn drop(&mut self) {
        // Before the state, which it borrows.
        self.slot.clear();
    }
}

#[inline]
fn in_place<R: RunInPlace>(
    slot: &mut Slot,
    run: R,
    guard: &impl Guard,
    cx: &mut Context<'_>,
) -> InPlace<R::Answer, R::Receipt> {
    let place: NonNull<R> = slot.room_for(Layout::new::<R>()).cast();
    // SAFETY: the room is as large and aligned as `R` needs, and nothing is in it.
    unsafe { place.write(run) };
    // SAFETY: just written, reached by nobody else until `current` is set, and it stays there until it is dropped.
    let mut run = unsafe { Pin::new_unchecked(&mut *place.as_ptr()) };
    match guard.call(|| run.as_mut().poll(cx)) {
        Ok(Poll::Ready(_)) => {
            let answer = run.answer();
            // SAFETY: written above, and not used after. `current` was never set.
            let dropped = guard.call(|| unsafe { ptr::drop_in_place(place.as_ptr()) });
            InPlace::Done(answer, dropped.err())
        }
        Ok(Poll::Pending) => {
            let receipt = run.defer();
            slot.current = Some(erase(place));
            InPlace::Waits(receipt)
        }
        Err(text) => {
            slot.current = Some(erase(place));
            InPlace::Panicked(text)
        }
    }
}

/// Forgets the type, and the lifetime for which it borrows the state: what runs is dropped before the state is
/// reached again, moved or dropped, which [`Seat`] sees to.
#[inline]
fn erase<'a, R: Run + 'a>(place: NonNull<R>) -> NonNull<dyn Run> {
    let place: NonNull<dyn Run + 'a> = place;
    // SAFETY: the two types differ in a lifetime alone, which has no representation.
    unsafe { std::mem::transmute::<NonNull<dyn Run + 'a>, NonNull<dyn Run + 'static>>(place) }
}

impl Slot {
    /// A place for something of this layout. Nothing must be running.
    #[inline]
    fn room_for(&mut self, layout: Layout) -> NonNull<u8> {
        debug_assert!(self.current.is_none());
        if layout.size() > self.layout.size() || layout.align() > self.layout.align() {
            self.grow(layout);
        }
        self.buffer
    }

    #[cold]
    fn grow(&mut self, layout: Layout) {
        // At least one byte, so that there is always a buffer of the right alignment.
        let size = layout.size().max(self.layout.size()).max(1);
        let align = layout.align().max(self.layout.align());
        // Both layouts are valid, and so is the larger of their sizes with the larger of their alignments but for
        // sizes that nobody can allocate.
        let grown =
            Layout::from_size_align(size, align).unwrap_or_else(|_| handle_alloc_error(layout));
        self.free();
        // SAFETY: the size is not 0.
        let buffer = unsafe { alloc(grown) };
        self.buffer = NonNull::new(buffer).unwrap_or_else(|| handle_alloc_error(grown));
        self.layout = grown;
    }

    fn free(&mut self) {
        if self.layout.size() > 0 {
            // SAFETY: the buffer was allocated with this layout, and nothing is in it.
            unsafe { dealloc(self.buffer.as_ptr(), self.layout) };
            self.layout = Layout::new::<()>();
            self.buffer = NonNull::dangling();
        }
    }

    #[inline]
    fn clear(&mut self) {
        if let Some(current) = self.current.take() {
            // SAFETY: it was valid while it was set, and is not reached again.
            unsafe { ptr::drop_in_place(current.as_ptr()) };
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.clear();
        self.free();
    }
}
