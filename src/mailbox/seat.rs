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
//!
//! That borrow lives on while the turn changes hands and the slot is looked at. So no `&mut` ever covers both
//! the state and the slot, and none outlives the turn: each is in a cell of its own, entered anew by every
//! call.

use super::sync::UnsafeCell;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::error::Error;
use std::marker::PhantomData;
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

/// What became of something that was started and polled once.
pub(crate) enum Polled {
    /// It is done. The text is what a panic in dropping it said.
    Done(Option<Arc<str>>),
    /// It runs on in the slot.
    Waits,
    /// It panicked. It is in the slot, to be ended.
    Panicked(Arc<str>),
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
pub(super) struct Seat<S> {
    state: UnsafeCell<Option<S>>,
    slot: UnsafeCell<Slot>,
}

/// The seat in the hands of whoever has the turn.
pub(crate) struct Seated<'a, S> {
    seat: &'a Seat<S>,
    alone: PhantomData<&'a mut S>,
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
    pub(super) fn new() -> Self {
        Self {
            state: UnsafeCell::new(None),
            slot: UnsafeCell::new(Slot {
                buffer: NonNull::dangling(),
                layout: Layout::new::<()>(),
                current: None,
            }),
        }
    }

    /// # Safety
    /// The caller has the turn as long as what this returns lives, and nothing else that this returned lives.
    #[inline]
    pub(super) unsafe fn take(&self) -> Seated<'_, S> {
        Seated {
            seat: self,
            alone: PhantomData,
        }
    }
}

impl<'a, S> Seated<'a, S> {
    #[inline]
    fn slot(self) -> &'a mut Slot {
        // SAFETY: the caller has the seat for itself, and what runs reaches the buffer and not the slot.
        self.seat.slot.with_mut(|slot| unsafe { &mut *slot })
    }

    /// The state and its slot, if nothing runs.
    #[inline]
    fn vacant(self) -> Option<(&'a mut Option<S>, &'a mut Slot)> {
        let seat = self.seat;
        let slot = self.slot();
        if slot.current.is_some() {
            return None;
        }
        // SAFETY: the caller has the seat for itself, and nothing that borrows the state is left.
        let state = seat.state.with_mut(|state| unsafe { &mut *state });
        Some((state, slot))
    }

    /// The state, if there is one and nothing runs.
    pub(crate) fn state(self) -> Option<&'a mut S> {
        self.vacant()?.0.as_mut()
    }

    /// Puts a state in. The one before, if any, comes back. Not while something runs.
    pub(crate) fn sit(self, state: S) -> Option<S> {
        let vacant = self.vacant();
        let (own, _) = vacant.expect("the state is borrowed by what runs");
        own.replace(state)
    }

    /// Takes the state out, unless something runs.
    pub(crate) fn stand(self) -> Option<S> {
        self.vacant()?.0.take()
    }

    /// Where to start something.
    #[inline]
    fn ready(self) -> (&'a mut S, &'a mut Slot) {
        let (state, slot) = self.vacant().expect("one thing runs at a time");
        let state = state.as_mut().expect("nothing runs without a state");
        (state, slot)
    }

    /// Starts something in the slot. It is not polled.
    ///
    /// # Panics
    /// If there is no state, or something runs: a mistake in the run loop.
    #[inline]
    pub(crate) fn start(self, starter: impl Start<S>) {
        let (state, slot) = self.ready();
        let run = starter.start(state);
        let place = slot.room_for(Layout::for_value(&run)).cast();
        // SAFETY: the room is as large and aligned as this type needs, and nothing is in it.
        unsafe { place.write(run) };
        slot.current = Some(erase(place));
    }

    /// Starts something and polls it once.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[inline]
    pub(crate) fn start_and_poll(
        self,
        starter: impl Start<S>,
        guard: &impl Guard,
        cx: &mut Context<'_>,
    ) -> Polled {
        let (state, slot) = self.ready();
        let run = starter.start(state);
        let place = slot.room_for(Layout::for_value(&run)).cast();
        // SAFETY: the room is as large and aligned as this type needs, and nothing is in it.
        unsafe { place.write(run) };
        let mut done = false;
        let polled = guard.call(|| {
            // SAFETY: just written, reached by nobody else, and it stays there until it is dropped.
            let ready = unsafe { Pin::new_unchecked(&mut *place.as_ptr()) }
                .poll(cx)
                .is_ready();
            if ready {
                done = true;
                // SAFETY: it is there, and not used after. `current` was never set.
                unsafe { ptr::drop_in_place(place.as_ptr()) };
            }
            ready
        });
        match polled {
            Ok(true) => Polled::Done(None),
            Err(text) if done => Polled::Done(Some(text)),
            waits => {
                slot.current = Some(erase(place));
                waits.map_or_else(Polled::Panicked, |_| Polled::Waits)
            }
        }
    }

    /// Starts something whose answer is wanted, and polls it once.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[inline]
    pub(crate) fn start_in_place<T: StartInPlace<S>>(
        self,
        starter: T,
        guard: &impl Guard,
        cx: &mut Context<'_>,
    ) -> InPlace<T::Answer, T::Receipt> {
        let (state, slot) = self.ready();
        in_place(slot, starter.start(state), guard, cx)
    }

    /// What runs.
    #[inline]
    pub(crate) fn running(self) -> Option<Pin<&'a mut dyn Run>> {
        let current = self.slot().current?;
        // SAFETY: `current` is valid while it is set, is reached only by whoever has the seat, and stays where it
        // is until it is dropped, so it may be pinned.
        Some(unsafe { Pin::new_unchecked(&mut *current.as_ptr()) })
    }

    /// Drops what runs. A panic in that goes on to the caller, and nothing runs any more.
    #[inline]
    pub(crate) fn clear(self) {
        self.slot().clear();
    }
}

impl<S> Drop for Seat<S> {
    fn drop(&mut self) {
        // Before the state, which it borrows. Whoever ends an actor has ended what ran, so there is nothing left.
        // SAFETY: nobody else has the seat any more.
        self.slot.with_mut(|slot| unsafe { (*slot).clear() });
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
    let mut answer = None;
    let polled = guard.call(|| {
        let ready = run.as_mut().poll(cx).is_ready();
        if ready {
            answer = Some(run.as_mut().answer());
            // SAFETY: it is there, and not used after. `current` was never set.
            unsafe { ptr::drop_in_place(place.as_ptr()) };
        }
        ready
    });
    match (polled, answer) {
        (polled, Some(answer)) => InPlace::Done(answer, polled.err()),
        (Ok(_), None) => {
            let receipt = run.defer();
            slot.current = Some(erase(place));
            InPlace::Waits(receipt)
        }
        (Err(text), None) => {
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
