//! The actor's state, and the slot in which its one running handler lives.
//!
//! ```text
//!  Seat<S>                             on the heap, while it is needed
//! ┌───────────────────────┐           ┌──────────────────────────────────────────┐
//! │ state: Option<S>      │ ◄──────── │ a handler's future, which borrows state  │
//! │ slot: buffer, layout  │ ────────► │                                          │
//! │       current: dyn Run│           └──────────────────────────────────────────┘
//! └───────────────────────┘
//! ```
//!
//! A future of 4 KiB is thus paid once per actor, and not per queued message. A small buffer is given back when the
//! actor goes idle, so that many idle actors weigh little. Whoever has the
//! [`Turn`](super::turn::Turn) has the seat for itself. It reaches either the state or the running handler,
//! never both: while a handler runs, the state is borrowed by it.
//!
//! That borrow lives on while the turn changes hands and the slot is looked at. So no `&mut` ever covers both
//! the state and the slot, and none outlives the turn: each is in a cell of its own, entered anew by every
//! call.

use super::pool;
use super::sync::UnsafeCell;
use std::alloc::{Layout, handle_alloc_error};
use std::error::Error;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What something that ran has to say. Only hooks have errors; a handler's error is its asker's.
pub(crate) type Verdict = Result<(), Arc<dyn Error + Send + Sync>>;

/// How something that ran has ended before it was done.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    Panicked(Arc<str>),
    Killed,
}

/// Begins something that borrows the state and runs in the slot: says what makes its future, and what follows it.
///
/// Starting runs no code of the user's. What makes the future may, and is called where panics are caught.
pub(crate) trait Start<S>: 'static {
    /// What the future returns.
    type Output;

    fn start(
        self,
        state: &mut S,
    ) -> (
        impl Begin<Future = impl Future<Output = Self::Output> + Send> + Send,
        impl Sequel<Self::Output>,
    );
}

/// Begins something whose output is wanted at once if it is there at once.
pub(crate) trait StartInPlace<S>: 'static {
    /// What the future returns.
    type Output;
    /// Where the answer will be, if it is not there at once.
    type Receipt;

    fn start(
        self,
        state: &mut S,
    ) -> (
        impl Begin<Future = impl Future<Output = Self::Output> + Send> + Send,
        impl SequelInPlace<Self::Output, Receipt = Self::Receipt>,
    );
}

/// Makes a future: a closure, whose result can be named.
pub(crate) trait Begin: FnOnce() -> Self::Future {
    type Future;
}

impl<B: FnOnce() -> F, F> Begin for B {
    type Future = F;
}

/// What follows something that runs.
pub(crate) trait Sequel<O>: Send {
    /// It is about to be polled.
    #[inline]
    fn enter(&self) {}

    /// It is done.
    fn done(self, output: O) -> Verdict;

    /// It panicked, or is killed, and is about to be dropped.
    fn tear_down(&self) {}

    /// It panicked, or was killed, and is gone: whoever waits for it is told.
    fn ended(self, ending: &Ending);

    /// The type of the messages that are handled.
    fn message() -> &'static str;
}

/// What follows something that runs in place.
pub(crate) trait SequelInPlace<O> {
    /// What follows it if it is not done at once.
    type Later: Sequel<O>;
    /// Where the answer will be then.
    type Receipt;

    /// See [`Sequel::enter`].
    fn enter(&self);

    /// It is done at once.
    fn done(&self, output: &O);

    /// It waits: from now on the answer goes to the receipt.
    fn defer(self) -> (Self::Later, Self::Receipt);

    /// It panicked: the answer goes to nobody.
    fn forgo(self) -> Self::Later;
}

/// Something that waits in the slot.
pub(crate) trait Run: Send {
    /// Goes on with it. After `Ready` it is only dropped.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict>;

    /// It panicked, or is killed: its future is dropped.
    fn tear_down(self: Pin<&mut Self>);

    /// It was torn down: whoever waits for it is told.
    fn end(self: Pin<&mut Self>, ending: &Ending);

    /// The type of the messages that are handled.
    fn message(&self) -> &'static str;
}

/// What became of something that was started and polled once. Texts are boxed, so that it travels in registers.
pub(crate) enum Polled {
    /// It is done.
    Done,
    /// Nothing was started: the message had been taken back.
    Skipped,
    /// It is done, and dropping it panicked, saying this.
    DropPanicked(Box<Arc<str>>),
    /// It is done, with this error.
    Failed(Box<Arc<dyn Error + Send + Sync>>),
    /// It runs on in the slot.
    Waits,
    /// It panicked, saying this. It is in the slot, to be ended.
    Panicked(Box<Arc<str>>),
}

const _: () = assert!(size_of::<Polled>() == 2 * size_of::<usize>());

impl Polled {
    #[inline]
    fn done(verdict: Verdict) -> Self {
        match verdict {
            Ok(()) => Self::Done,
            Err(error) => Self::Failed(Box::new(error)),
        }
    }
}

/// What became of something that was started in place.
pub(crate) enum InPlace<O, R> {
    /// It is done. The text is what a panic in dropping it said.
    Done(O, Option<Arc<str>>),
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

/// The least that a buffer has room for: hooks and plain handlers need no more, so it grows for few.
#[repr(align(16))]
struct FirstRoom {
    _bytes: [MaybeUninit<u8>; 128],
}

impl FirstRoom {
    const LAYOUT: Layout = Layout::new::<Self>();

    const fn is_enough_for(layout: Layout) -> bool {
        layout.size() <= Self::LAYOUT.size() && layout.align() <= Self::LAYOUT.align()
    }
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
    pub(crate) fn start(self, starter: impl Start<S>) {
        let (state, slot) = self.ready();
        let (begin, sequel) = starter.start(state);
        slot.park(async move { begin().await }, sequel);
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
        // First, since it may unwind: what had to be dropped then would be kept in memory meanwhile, to be copied, see `arc`.
        let place = slot.place();
        let (begin, sequel) = starter.start(state);
        poll_once(slot, place, begin, sequel, guard, cx)
    }

    /// Starts something whose output is wanted, and polls it once.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[inline]
    pub(crate) fn start_in_place<T: StartInPlace<S>>(
        self,
        starter: T,
        guard: &impl Guard,
        cx: &mut Context<'_>,
    ) -> InPlace<T::Output, T::Receipt> {
        let (state, slot) = self.ready();
        // As in `start_and_poll`.
        let place = slot.place();
        let (begin, sequel) = starter.start(state);
        poll_in_place(slot, place, begin, sequel, guard, cx)
    }

    /// Ends what runs, if anything does, and tells whoever waits for it. Returns what panics in that said.
    #[cold]
    pub(crate) fn end(self, ending: &Ending, guard: &impl Guard) -> Vec<Arc<str>> {
        let slot = self.slot();
        let torn = slot.running().map(|run| guard.call(|| run.tear_down()));
        let ended = slot.running().map(|run| guard.call(|| run.end(ending)));
        let cleared = guard.call(|| slot.clear());
        let results = torn.into_iter().chain(ended).chain([cleared]);
        results.filter_map(Result::err).collect()
    }

    /// Goes on with what runs.
    #[inline]
    pub(crate) fn poll(self, guard: &impl Guard, cx: &mut Context<'_>) -> Polled {
        let slot = self.slot();
        let Some(run) = slot.running() else {
            return Polled::Done;
        };
        match guard.call(|| run.poll(cx)) {
            Ok(Poll::Pending) => Polled::Waits,
            Err(text) => Polled::Panicked(Box::new(text)),
            Ok(Poll::Ready(verdict)) => match guard.call(|| slot.clear()) {
                Ok(()) => Polled::done(verdict),
                Err(text) => Polled::DropPanicked(Box::new(text)),
            },
        }
    }

    /// What runs.
    #[inline]
    pub(crate) fn running(self) -> Option<Pin<&'a mut dyn Run>> {
        self.slot().running()
    }

    /// Gives a small buffer back, since it costs next to nothing to take one again: an idle actor has none.
    #[inline]
    pub(crate) fn give_room_back(self) {
        let slot = self.slot();
        let is_small = slot.layout == FirstRoom::LAYOUT || pool::keeps(slot.layout);
        if slot.current.is_none() && is_small {
            slot.free();
        }
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
fn poll_once<B, Q>(
    slot: &mut Slot,
    mut place: Place<B::Future, Q>,
    begin: B,
    sequel: Q,
    guard: &impl Guard,
    cx: &mut Context<'_>,
) -> Polled
where
    B: Begin<Future: Future + Send>,
    Q: Sequel<<B::Future as Future>::Output>,
{
    let mut sequel = Some(sequel);
    let polled = guard.call(|| {
        if let Some(sequel) = &sequel {
            sequel.enter();
        }
        let output = ready!(place.begin_and_poll(begin, cx));
        let verdict = sequel.take().map_or(Ok(()), |sequel| sequel.done(output));
        place.drop_future();
        Poll::Ready(verdict)
    });
    match polled {
        Ok(Poll::Ready(verdict)) => Polled::done(verdict),
        Err(text) if sequel.is_none() && !place.is_there => Polled::DropPanicked(Box::new(text)),
        waits => {
            place.park(slot, sequel);
            waits.map_or_else(|text| Polled::Panicked(Box::new(text)), |_| Polled::Waits)
        }
    }
}

#[inline]
fn poll_in_place<B, Q>(
    slot: &mut Slot,
    mut place: Place<B::Future, Q::Later>,
    begin: B,
    sequel: Q,
    guard: &impl Guard,
    cx: &mut Context<'_>,
) -> InPlace<<B::Future as Future>::Output, Q::Receipt>
where
    B: Begin<Future: Future + Send>,
    Q: SequelInPlace<<B::Future as Future>::Output>,
{
    let mut done = None;
    let polled = guard.call(|| {
        sequel.enter();
        if let Poll::Ready(output) = place.begin_and_poll(begin, cx) {
            sequel.done(&output);
            done = Some(output);
            place.drop_future();
        }
    });
    match (polled, done) {
        (polled, Some(output)) => InPlace::Done(output, polled.err()),
        (Ok(()), None) => {
            let (later, receipt) = sequel.defer();
            place.park(slot, Some(later));
            InPlace::Waits(receipt)
        }
        (Err(text), None) => {
            place.park(slot, Some(sequel.forgo()));
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

/// What waits in the slot: a future and what follows it.
struct Parked<F, Q> {
    future: MaybeUninit<F>,
    /// Whether the future is there.
    is_there: bool,
    /// There until it has followed.
    sequel: Option<Q>,
}

impl<F, Q> Parked<F, Q> {
    /// Drops the future, if it is there. A panic in that goes on to the caller, and it is gone all the same.
    fn drop_future(&mut self) {
        if std::mem::take(&mut self.is_there) {
            // SAFETY: it was there, is not any more, and is dropped where it is pinned.
            unsafe { self.future.assume_init_drop() };
        }
    }
}

impl<F, Q> Run for Parked<F, Q>
where
    F: Future + Send,
    Q: Sequel<F::Output>,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict> {
        // SAFETY: the future is not moved, and the rest is never pinned.
        let this = unsafe { self.get_unchecked_mut() };
        let (true, Some(sequel)) = (this.is_there, &this.sequel) else {
            return Poll::Ready(Ok(()));
        };
        sequel.enter();
        // SAFETY: it is there, and stays where it is until it is dropped.
        let future = unsafe { Pin::new_unchecked(this.future.assume_init_mut()) };
        let output = ready!(future.poll(cx));
        Poll::Ready(match this.sequel.take() {
            Some(sequel) => sequel.done(output),
            None => Ok(()),
        })
    }

    fn tear_down(self: Pin<&mut Self>) {
        // SAFETY: the future is not moved, and the rest is never pinned.
        let this = unsafe { self.get_unchecked_mut() };
        if let Some(sequel) = &this.sequel {
            sequel.tear_down();
        }
        this.drop_future();
    }

    fn end(self: Pin<&mut Self>, ending: &Ending) {
        // SAFETY: the future is not moved, and the rest is never pinned.
        let this = unsafe { self.get_unchecked_mut() };
        if let Some(sequel) = this.sequel.take() {
            sequel.ended(ending);
        }
    }

    fn message(&self) -> &'static str {
        Q::message()
    }
}

impl<F, Q> Drop for Parked<F, Q> {
    fn drop(&mut self) {
        self.drop_future();
    }
}

/// A place in the slot where a future is begun and polled once. What follows it stays outside until it waits, and so
/// mostly in registers.
struct Place<F, Q> {
    parked: NonNull<Parked<F, Q>>,
    is_there: bool,
}

impl<F: Future + Send, Q: Sequel<F::Output>> Place<F, Q> {
    /// Begins the future and polls it.
    #[inline]
    fn begin_and_poll(
        &mut self,
        begin: impl FnOnce() -> F,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        // SAFETY: the room is as large and aligned as this type needs, and nothing is in it.
        let place = unsafe { &raw mut (*self.parked.as_ptr()).future }.cast::<F>();
        // SAFETY: as above.
        unsafe { place.write(begin()) };
        self.is_there = true;
        // SAFETY: just written, reached by nobody else, and it stays there until it is dropped.
        unsafe { Pin::new_unchecked(&mut *place) }.poll(cx)
    }

    /// Drops the future, which is there.
    #[inline]
    fn drop_future(&mut self) {
        self.is_there = false;
        // SAFETY: it is there, and is not used after.
        unsafe { (*self.parked.as_ptr()).future.assume_init_drop() };
    }

    /// Puts the rest beside the future.
    fn park(&self, slot: &mut Slot, sequel: Option<Q>) {
        let parked = self.parked.as_ptr();
        // SAFETY: nothing is in these places yet; with them, and the future if it is there, the value is whole.
        unsafe {
            (&raw mut (*parked).is_there).write(self.is_there);
            (&raw mut (*parked).sequel).write(sequel);
        }
        slot.current = Some(erase(self.parked));
    }
}

impl Slot {
    /// What waits.
    #[inline]
    fn running(&mut self) -> Option<Pin<&mut dyn Run>> {
        let current = self.current?;
        // SAFETY: `current` is valid while it is set, is reached only by whoever has the seat, and stays where it
        // is until it is dropped, so it may be pinned.
        Some(unsafe { Pin::new_unchecked(&mut *current.as_ptr()) })
    }

    #[inline]
    fn place<F, Q>(&mut self) -> Place<F, Q> {
        Place {
            parked: self.room_for(),
            is_there: false,
        }
    }

    fn park<F: Future + Send, Q: Sequel<F::Output>>(&mut self, future: F, sequel: Q) {
        let parked: NonNull<Parked<F, Q>> = self.room_for();
        let value = Parked {
            future: MaybeUninit::new(future),
            is_there: true,
            sequel: Some(sequel),
        };
        // SAFETY: the room is as large and aligned as this type needs, and nothing is in it.
        unsafe { parked.write(value) };
        self.current = Some(erase(parked));
    }

    /// A place for a `T`. Nothing must be running.
    #[inline]
    fn room_for<T>(&mut self) -> NonNull<T> {
        debug_assert!(self.current.is_none());
        let layout = Layout::new::<T>();
        if layout.size() > self.layout.size() || layout.align() > self.layout.align() {
            if self.layout.size() == 0 && FirstRoom::is_enough_for(layout) {
                self.buffer = pool::take::<FirstRoom>().cast();
                self.layout = FirstRoom::LAYOUT;
            } else {
                self.grow(layout);
            }
        }
        self.buffer.cast()
    }

    #[cold]
    fn grow(&mut self, layout: Layout) {
        let at_least = FirstRoom::LAYOUT;
        let size = layout.size().max(self.layout.size()).max(at_least.size());
        let align = layout
            .align()
            .max(self.layout.align())
            .max(at_least.align());
        // All three layouts are valid, and so is the largest of their sizes with the largest of their alignments but
        // for sizes that nobody can allocate.
        let grown =
            Layout::from_size_align(size, align).unwrap_or_else(|_| handle_alloc_error(layout));
        self.free();
        (self.buffer, self.layout) = pool::take_room(grown);
    }

    #[inline]
    fn free(&mut self) {
        if self.layout == FirstRoom::LAYOUT {
            // SAFETY: the buffer came from the pool, for this type or with its layout, and nothing is in it.
            unsafe { pool::give::<FirstRoom>(self.buffer.cast()) };
        } else {
            self.free_other();
        }
        self.layout = Layout::new::<()>();
        self.buffer = NonNull::dangling();
    }

    #[cold]
    fn free_other(&mut self) {
        if self.layout.size() > 0 {
            // SAFETY: the buffer came from the pool with this layout, and nothing is in it.
            unsafe { pool::give_room(self.buffer, self.layout) };
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
