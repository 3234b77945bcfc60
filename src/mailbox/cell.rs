//! The cell that carries one message in and its answer out: a send's only allocation.
//!
//! ```text
//!  Cell<M, R>
//! ┌──────────────────────┬───────┬──────┬──────────┬──────────────┬───────────────────────────┐
//! │ Header: next, kind   │ state │ refs │ terms    │ waker        │ body: message, then answer│
//! └──────────────────────┴───────┴──────┴──────────┴──────────────┴───────────────────────────┘
//!   the queue's             who may touch the rest     the asker's
//! ```
//!
//! Up to three parties share a cell: the asker, the actor, and a reply token. Who may touch what is
//! decided by `state`, one atomic word of bits that are only ever set, but for `WAKER`:
//!
//! - **body**: belongs to the actor's side from `CLAIMED` to `DONE`, and to the asker before (if it sets
//!   `EXPIRED` or `ABANDONED` before `CLAIMED` is set) and after (from `DONE` on, unless it has set `GONE`
//!   before `DONE`, when nobody touches it again). A cell that was told has no asker: its body belongs to
//!   whoever holds the only reference.
//! - **waker**: belongs to the asker while `WAKER` is not set, and is only read by either side while it is.
//!   The asker clears `WAKER` to change it, and must not if it finds `DONE` set in doing so. Who sets `DONE` while
//!   `WAKER` is set moves the waker out, by reading it: what is left in its place is nobody's. The asker may be comparing
//!   it meanwhile, even when it has been used up: it compares the two pointers, and follows none.
//!
//! The `DECIDED`, `TEARING_DOWN` and `TOKEN_LOST` bits make sure that a message is counted once:
//!
//! - a token that answers or is dropped while its handler runs decides at once ([`Cell::decide`],
//!   [`Duty::token_dropped`]);
//! - what is undecided when the handler has ended is decided by the run loop ([`Witness::conclude`]).

use super::queue::Header;
use super::sync::{AtomicU32, Ordering, Track, UnsafeCell};
use super::waiting::{let_go, wake};
use super::{Terms, pool};
use std::fmt;
use std::hint::cold_path;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// The sender wants an answer. Never changes.
const ASKED: u32 = 1;
/// The actor has taken the message.
const CLAIMED: u32 = 1 << 1;
/// The asker has taken the message back because its time was up.
const EXPIRED: u32 = 1 << 2;
/// The asker has gone, and has taken the message along.
const ABANDONED: u32 = 1 << 3;
/// The answer is there.
const DONE: u32 = 1 << 4;
/// The asker does not listen any more.
const GONE: u32 = 1 << 5;
/// The waker is there.
const WAKER: u32 = 1 << 6;
/// The message has been counted.
const DECIDED: u32 = 1 << 7;
/// The handler is being dropped after a panic or a kill: a token dropped now did not choose to.
const TEARING_DOWN: u32 = 1 << 8;
/// The token was dropped by a panic or by tearing down: the run loop decides.
const TOKEN_LOST: u32 = 1 << 9;

const REVOKED: u32 = EXPIRED | ABANDONED;

/// Why a queued message will be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// Its asker's timeout has passed.
    Expired,
    /// Its asker is gone.
    Abandoned,
}

/// What the run loop finds when it concludes a message after its handler has ended.
pub(crate) enum Conclusion<M, R> {
    /// Already decided by its token.
    Decided,
    /// The token was dropped while the handler was being torn down. Its duty is the run loop's.
    TokenLost(Duty<M, R>),
    /// The token lives on elsewhere.
    TokenLives,
}

/// What a timeout finds.
#[derive(Debug)]
pub(crate) enum Expiry<M, R> {
    /// The message was queued, and comes back.
    Revoked(M),
    /// The answer was there just in time.
    Answered(R),
    /// The handler has started.
    Running,
}

/// A message (`M`) and its answer (`R`).
#[repr(C)]
pub(crate) struct Cell<M, R> {
    /// First, so that a pointer to the header is a pointer to the cell.
    pub(super) header: Header,
    state: AtomicU32,
    refs: AtomicU32,
    terms: Terms,
    waker: UnsafeCell<Option<Waker>>,
    body: UnsafeCell<Body<M, R>>,
    /// Of no size but under loom.
    _allocated: Track<()>,
}

enum Body<M, R> {
    Message(M),
    Answer(R),
    Empty,
}

// SAFETY: messages, answers and wakers move between threads with the cell, hence `M: Send, R: Send` (`Waker` is
// `Send + Sync`). No two threads ever touch `body` at once, and `waker` is at most read by two, as the module's
// documentation lays down; so nothing is required of `&M` and `&R`.
unsafe impl<M: Send, R: Send> Send for Cell<M, R> {}
// SAFETY: as above.
unsafe impl<M: Send, R: Send> Sync for Cell<M, R> {}

impl<M, R> Cell<M, R> {
    fn state(&self) -> u32 {
        self.state.load(Ordering::Acquire)
    }

    /// Sets bits and returns those that were set before.
    fn set(&self, bits: u32) -> u32 {
        self.state.fetch_or(bits, Ordering::AcqRel)
    }

    /// The same for a bit that is not set, nor by anybody else meanwhile: an addition, for which machines have an
    /// instruction that returns what was there.
    #[inline]
    fn set_first(&self, bit: u32) -> u32 {
        let before = self.state.fetch_add(bit, Ordering::AcqRel);
        debug_assert_eq!(before & bit, 0, "the bit was set before");
        before
    }

    /// The caller must own the body, and it must hold a message.
    unsafe fn take_message(&self) -> M {
        self.body.with_mut(|body| {
            // SAFETY: the caller owns the body.
            let Body::Message(message) = (unsafe { &mut *body }) else {
                unreachable!("a cell's message is taken once");
            };
            // SAFETY: it is there, and what it was taken from is forgotten by the next line.
            let message = unsafe { ptr::read(message) };
            // SAFETY: the caller owns the body, in which nothing is left to be dropped.
            unsafe { ptr::write(body, Body::Empty) };
            message
        })
    }

    /// The caller must be the asker, must have seen `DONE`, and must not have set `GONE` before.
    unsafe fn take_answer(&self) -> R {
        self.body.with_mut(|body| {
            // SAFETY: from `DONE` on the body belongs to the asker.
            let Body::Answer(answer) = (unsafe { &mut *body }) else {
                unreachable!("a cell's answer is taken once");
            };
            // SAFETY: as for a message.
            let answer = unsafe { ptr::read(answer) };
            // SAFETY: as for a message.
            unsafe { ptr::write(body, Body::Empty) };
            answer
        })
    }

    /// Whether nothing that is left in it has to be dropped, as after most asks. Under loom everything is.
    #[inline]
    fn is_spent(&mut self) -> bool {
        let is_empty = |body: *mut Body<M, R>| {
            // SAFETY: the cell is borrowed mutably.
            matches!(unsafe { &*body }, Body::Empty)
        };
        !cfg!(postroom_loom)
            && self.is_waker_moved()
            && self.body.with_mut(is_empty)
            && self.terms.is_none()
    }

    /// Whether who has answered has moved the waker out.
    #[inline]
    fn is_waker_moved(&mut self) -> bool {
        self.state.load(Ordering::Relaxed) & (DONE | WAKER) == DONE | WAKER
    }

    /// Has its drop leave out the waker if that was moved out.
    #[cold]
    fn forget_moved_waker(&mut self) {
        if self.is_waker_moved() {
            // SAFETY: the cell is borrowed mutably; and what is overwritten was moved out, and is not to be dropped.
            self.waker
                .with_mut(|waker| unsafe { ptr::write(waker, None) });
        }
    }

    /// Whether the sender asked for an answer.
    pub(crate) fn was_asked(&self) -> bool {
        self.state.load(Ordering::Relaxed) & ASKED != 0
    }

    /// Whether the sender asked, and has gone since.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.state() & (ASKED | GONE) == ASKED | GONE
    }

    /// When the handler should be done.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.terms.deadline()
    }

    /// The token answers: true if this decides how the message counts.
    pub(crate) fn decide(&self) -> bool {
        self.set(DECIDED) & DECIDED == 0
    }

    /// The handler is about to be dropped after a panic or a kill.
    pub(crate) fn tear_down(&self) {
        self.set(TEARING_DOWN);
    }

    /// Gives the asker its answer, if it still listens, and returns what wakes it.
    ///
    /// # Safety
    /// The message must have been claimed, and the caller uses up the one duty to answer it.
    #[inline]
    unsafe fn put_answer(&self, answer: R) -> Option<Waker> {
        if self.state() & (ASKED | GONE) != ASKED {
            return None;
        }
        self.body.with_mut(|body| {
            // SAFETY: between `CLAIMED` and `DONE` the body belongs to the actor's side, and by the contract of this
            // function to nobody else on it. Nothing in it is to be dropped: whoever claimed it has taken the message.
            unsafe { ptr::write(body, Body::Answer(answer)) };
        });
        // By the one duty, which is used up.
        let before = self.set_first(DONE);
        if before & (WAKER | GONE) != WAKER {
            return None;
        }
        // SAFETY: `WAKER` was set when `DONE` was, so the asker neither changes the waker any more nor drops it: it is
        // moved out here.
        self.waker.with(|waker| unsafe { ptr::read(waker) })
    }
}

impl<M, R> fmt::Debug for Cell<M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell")
            .field("state", &format_args!("{:#b}", self.state()))
            .finish_non_exhaustive()
    }
}

/// A counted reference to a cell.
struct Counted<M, R>(NonNull<Cell<M, R>>);

// SAFETY: it is a shared reference to a `Cell`, and may be the last, which drops the cell's content; both are
// covered by the cell being `Send + Sync`, which needs `M: Send, R: Send`.
unsafe impl<M: Send, R: Send> Send for Counted<M, R> {}
// SAFETY: as above.
unsafe impl<M: Send, R: Send> Sync for Counted<M, R> {}

impl<M, R> Counted<M, R> {
    /// `body` must not panic, or the place would be lost.
    #[inline(always)]
    #[expect(clippy::inline_always)] // all it is given is known where it is called
    fn alloc(
        state: u32,
        refs: u32,
        terms: Terms,
        body: impl FnOnce() -> Body<M, R>,
    ) -> NonNull<Cell<M, R>> {
        let place = pool::take::<Cell<M, R>>();
        let cell = Cell {
            header: Header::new(),
            state: AtomicU32::new(state),
            refs: AtomicU32::new(refs),
            terms,
            waker: UnsafeCell::new(None),
            // Made here and not by the caller: it would be kept in memory while the place is found, to be copied, see `arc`.
            body: UnsafeCell::new(body()),
            _allocated: Track::new(()),
        };
        // SAFETY: the place is for a cell, and nobody else has it.
        unsafe { place.write(cell) };
        place
    }
}

impl<M, R> Deref for Counted<M, R> {
    type Target = Cell<M, R>;

    #[inline]
    fn deref(&self) -> &Cell<M, R> {
        // SAFETY: the cell lives until the last counted reference is dropped.
        unsafe { self.0.as_ref() }
    }
}

impl<M, R> Clone for Counted<M, R> {
    fn clone(&self) -> Self {
        // Relaxed, as in `Arc`: this reference keeps the cell alive meanwhile.
        self.refs.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl<M, R> Drop for Counted<M, R> {
    #[inline]
    fn drop(&mut self) {
        // If this is the only reference nobody else can make another, and the read-modify-write is spared.
        let last =
            self.refs.load(Ordering::Acquire) == 1 || self.refs.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            // Does nothing, but tells loom that what is in the body is touched now.
            self.body.with_mut(|_| ());
            let emptied = Emptied(self.0);
            // SAFETY: this was the last reference. The acquiring load or the acquiring and releasing subtraction
            // makes all that other holders did happen before.
            unsafe {
                if !self.0.as_mut().is_spent() {
                    self.0.as_mut().forget_moved_waker();
                    self.0.drop_in_place();
                }
            }
            drop(emptied);
        }
    }
}

/// The memory of a cell whose content is being dropped, which may panic.
struct Emptied<M, R>(NonNull<Cell<M, R>>);

impl<M, R> Drop for Emptied<M, R> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the cell came from there, and whoever has made this has dropped its content.
        unsafe { pool::give(self.0) };
    }
}

/// The asker's side of a cell.
pub(crate) struct Receipt<M, R>(Counted<M, R>);

/// A message on its way to an actor, or taken from its queue and not claimed yet: the actor's side of a cell.
pub(crate) struct Letter<M, R>(Counted<M, R>);

/// The duty to answer a message that was claimed. It cannot be copied, so nobody answers twice.
pub(crate) struct Duty<M, R>(Counted<M, R>);

/// The run loop's share of a cell whose duty a token has: it sees to it that the message is counted.
pub(crate) struct Witness<M, R>(Counted<M, R>);

impl<M, R> Letter<M, R> {
    /// A message that nobody waits for.
    #[inline]
    pub(crate) fn tell(message: M) -> Self {
        Self::tell_under(message, Terms::None)
    }

    /// The same, with what travels with it.
    #[inline]
    pub(crate) fn tell_under(message: M, terms: Terms) -> Self {
        Self(Counted(Counted::alloc(0, 1, terms, || {
            Body::Message(message)
        })))
    }

    /// A message, and its asker's side.
    #[inline(always)]
    #[expect(clippy::inline_always)] // a few instructions in each ask
    pub(crate) fn ask(message: M, terms: impl Into<Terms>) -> (Self, Receipt<M, R>) {
        let cell = Counted::alloc(ASKED, 2, terms.into(), || Body::Message(message));
        (Self(Counted(cell)), Receipt(Counted(cell)))
    }

    /// Takes back a message that no mailbox accepted: only its sender has ever seen the cell.
    ///
    /// # Panics
    /// If the asker has taken it back before.
    pub(crate) fn take_back(self, receipt: Option<Receipt<M, R>>) -> M {
        drop(receipt);
        match self.claim() {
            Ok((message, _)) => message,
            Err(_) => unreachable!("the asker's side was here"),
        }
    }

    /// The actor takes the message to handle it, unless its asker has taken it back.
    #[inline]
    pub(crate) fn claim(self) -> Result<(M, Duty<M, R>), Revocation> {
        self.withhold()?;
        Ok(self.take())
    }

    /// The message, once its asker cannot take it back any more, or if there is none.
    #[inline]
    fn take(self) -> (M, Duty<M, R>) {
        // SAFETY: `CLAIMED` was set before any revocation, or there is no asker: the body is the actor's, and
        // the message is in it, for a letter is claimed or taken back once, being consumed by that.
        let message = unsafe { self.0.take_message() };
        (message, Duty(self.0))
    }

    /// The same for a message that is handled alone: one that was told needs no answer, so there is no duty, and its
    /// cell is given back at once.
    #[inline(always)]
    #[expect(clippy::inline_always)] // its one caller runs for each message
    pub(crate) fn claim_alone(self) -> Result<(M, Option<Duty<M, R>>), Revocation> {
        if self.0.was_asked() {
            // It has not been withheld before: that is for what is evicted, and claimed to be given back.
            withheld(self.0.set_first(CLAIMED))?;
            let (message, duty) = self.take();
            return Ok((message, Some(duty)));
        }
        // SAFETY: a cell that was told has no asker: its body belongs to whoever holds the only reference, and the
        // message is in it, for a letter is claimed or taken back once.
        let message = unsafe { self.0.take_message() };
        if self.0.terms.is_none() && !cfg!(postroom_loom) {
            // SAFETY: what is left in it need not be dropped: there are no terms, the body is empty, and only askers
            // leave wakers. Nobody else has a reference, and this one is forgotten.
            unsafe { pool::give(self.0.0) };
            std::mem::forget(self);
        }
        Ok((message, None))
    }

    /// From now on its asker cannot take the message back, if it has not done so.
    #[inline]
    pub(super) fn withhold(&self) -> Result<(), Revocation> {
        if self.0.was_asked() {
            withheld(self.0.set(CLAIMED))?;
        }
        Ok(())
    }

    /// What travels with it.
    pub(crate) fn terms(&self) -> &Terms {
        &self.0.terms
    }

    /// Whether its sender wants an answer.
    pub(crate) fn was_asked(&self) -> bool {
        self.0.was_asked()
    }

    /// The message's deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }

    /// For the queue.
    pub(super) fn into_header(self) -> NonNull<Header> {
        let cell = self.0.0;
        std::mem::forget(self);
        cell.cast()
    }

    /// From the queue.
    ///
    /// # Safety
    /// `header` came from [`into_header`](Self::into_header) of a letter of the same type, and is used up by
    /// this.
    pub(super) unsafe fn from_header(header: NonNull<Header>) -> Self {
        Self(Counted(header.cast()))
    }
}

/// What was found when `CLAIMED` was set.
#[inline]
const fn withheld(before: u32) -> Result<(), Revocation> {
    if before & EXPIRED != 0 {
        return Err(Revocation::Expired);
    }
    if before & ABANDONED != 0 {
        return Err(Revocation::Abandoned);
    }
    Ok(())
}

impl<M, R> Duty<M, R> {
    /// A cell for a message that is being handled already, with its asker's side.
    pub(crate) fn begun(deadline: Option<Instant>) -> (Self, Receipt<M, R>) {
        let cell = Counted::alloc(ASKED | CLAIMED, 2, deadline.into(), || Body::Empty);
        (Self(Counted(cell)), Receipt(Counted(cell)))
    }

    /// Gives the asker its answer, if it still listens.
    #[inline(always)]
    #[expect(clippy::inline_always)] // one of its callers runs for each message that was asked
    pub(crate) fn answer(self, answer: R) {
        // SAFETY: the message was claimed when this duty was made, there is one duty, and it is used up here.
        let waker = unsafe { self.0.put_answer(answer) };
        // Before the asker runs, which then has the cell for itself.
        drop(self);
        if let Some(waker) = waker {
            // One that panics, which only one made by hand can, is no fault of the handler's.
            wake(waker);
        }
    }

    /// The token is dropped without an answer. `None`: the run loop will decide, because the handler is being
    /// torn down, and has the duty from now on. `true`: this decides how the message counts.
    pub(crate) fn token_dropped(self) -> Option<(Self, bool)> {
        let panicking = std::thread::panicking();
        let mut state = self.0.state();
        loop {
            let lost = if state & DECIDED != 0 {
                return Some((self, false));
            } else {
                state & TEARING_DOWN != 0 || panicking
            };
            let bit = if lost { TOKEN_LOST } else { DECIDED };
            match self.0.state.compare_exchange_weak(
                state,
                state | bit,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return (!lost).then_some((self, true)),
                Err(seen) => state = seen,
            }
        }
    }

    /// The run loop's share of the cell, before a token takes this duty away.
    pub(crate) fn witness(&self) -> Witness<M, R> {
        Witness(self.0.clone())
    }
}

impl<M, R> Deref for Duty<M, R> {
    type Target = Cell<M, R>;

    fn deref(&self) -> &Cell<M, R> {
        &self.0
    }
}

impl<M, R> Witness<M, R> {
    /// The handler has ended.
    pub(crate) fn conclude(self) -> Conclusion<M, R> {
        match self.0.set(DECIDED) {
            before if before & DECIDED != 0 => Conclusion::Decided,
            // The token used its duty up when it set `TOKEN_LOST`, and only one witness finds this undecided.
            before if before & TOKEN_LOST != 0 => Conclusion::TokenLost(Duty(self.0)),
            _ => Conclusion::TokenLives,
        }
    }
}

impl<M, R> Deref for Witness<M, R> {
    type Target = Cell<M, R>;

    fn deref(&self) -> &Cell<M, R> {
        &self.0
    }
}

impl<M, R> Receipt<M, R> {
    /// Looks for the answer, and has this context's task woken when it comes. Not to be called again after it
    /// was `Ready`.
    #[inline]
    pub(crate) fn poll_answer(&mut self, cx: &Context<'_>) -> Poll<R> {
        let cell = &self.0;
        let mut state = cell.state();
        if state & DONE == 0 {
            if state & WAKER != 0 {
                // SAFETY: while `WAKER` is set both sides only read the waker.
                let same = cell.waker.with(|waker| unsafe {
                    (*waker)
                        .as_ref()
                        .is_some_and(|waker| waker.will_wake(cx.waker()))
                });
                if same {
                    return Poll::Pending;
                }
                state = cell.state.fetch_and(!WAKER, Ordering::AcqRel);
                if state & DONE != 0 {
                    // Whoever has answered has moved the waker out.
                    cell.set(WAKER);
                }
            }
            if state & DONE == 0 {
                let waker = Some(cx.waker().clone());
                // SAFETY: `WAKER` is not set, and `DONE` was not when it was cleared: the waker is the asker's,
                // which is the caller, with `&mut self`.
                let replaced = cell
                    .waker
                    .with_mut(|own| unsafe { std::mem::replace(&mut *own, waker) });
                // By the asker alone, who has cleared it.
                state = cell.set_first(WAKER);
                if state & DONE == 0 {
                    drop(replaced);
                    return Poll::Pending;
                }
                // Too late for whoever has answered, who has not moved it out.
                cold_path();
                cell.state.fetch_and(!WAKER, Ordering::AcqRel);
                drop(replaced);
            }
        }
        // SAFETY: `DONE` was seen, and this side has not set `GONE`: it does so only when it is used up.
        Poll::Ready(unsafe { cell.take_answer() })
    }

    /// Tells whether the actor still has it in its hands to answer: the message is queued or being handled, and its
    /// token has not gone elsewhere.
    #[cfg(debug_assertions)]
    pub(crate) fn watch(&self) -> impl Fn() -> bool + Send + use<M, R>
    where
        M: Send,
        R: Send,
    {
        let cell = self.0.clone();
        move || cell.state() & (DONE | DECIDED | GONE) == 0
    }

    /// Whether the actor has not taken the message yet.
    pub(crate) fn is_queued(&self) -> bool {
        self.0.state() & CLAIMED == 0
    }

    /// The asker's time is up: a queued message comes back and will be skipped.
    pub(crate) fn expire(self) -> Expiry<M, R> {
        self.part(EXPIRED)
    }

    /// The asker is gone. A message that is still queued is skipped, unless it is to be handled anyway.
    pub(crate) fn abandon(self, run_anyway: bool) {
        drop(self.part(if run_anyway { 0 } else { ABANDONED }));
    }

    /// Listens no more. What this side owns then comes out of the cell.
    fn part(self, revocation: u32) -> Expiry<M, R> {
        let cell = &self.0;
        let mut state = cell.state();
        loop {
            if state & DONE != 0 {
                // SAFETY: `DONE` was seen before this side set `GONE`.
                return Expiry::Answered(unsafe { cell.take_answer() });
            }
            let bits = if state & CLAIMED == 0 {
                GONE | revocation
            } else {
                GONE
            };
            match cell.state.compare_exchange_weak(
                state,
                (state | bits) & !WAKER,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    // SAFETY: `DONE` was not set when `WAKER` was cleared, so the actor's side never reads the
                    // waker. It is dropped now, for the cell may live on in the queue.
                    let waker = cell.waker.with_mut(|own| unsafe { (*own).take() });
                    let_go(waker);
                    if bits & REVOKED == 0 {
                        return Expiry::Running;
                    }
                    // SAFETY: revoked before it was claimed: the body is the asker's.
                    return Expiry::Revoked(unsafe { cell.take_message() });
                }
                Err(seen) => state = seen,
            }
        }
    }
}
