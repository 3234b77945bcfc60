//! Who may send: the bounded number of slots, who waits for one, and how many sends were accepted.
//!
//! One word answers a send, so that closing, filling and counting are one atomic step each:
//!
//! ```text
//!  63          31 30            4  3  2        1         0
//! ┌──────────────┬───────────────┬──────┬─────────┬────────┐
//! │ accepted     │ reserved      │  -   │ waiting │ closed │
//! └──────────────┴───────────────┴──────┴─────────┴────────┘
//! ```
//!
//! - `accepted` counts sends, modulo 2^33. Its distance to the messages that have left the queue is below 2^27,
//!   so the whole number can be had from it.
//! - `reserved` counts the slots of permits, and of waiting sends that were given a slot and have not used it yet.
//! - `waiting` is set while anyone stands in line. A send that does not wait, or has just come, then finds no
//!   room: whoever frees a slot gives it to the head of the line, under the line's lock.
//! - `closed` is never cleared.
//!
//! The receiver does not write the word unless somebody waits, nor read it while there are messages: it would wait for
//! senders on other cores at each, and they for it. It counts what has left the queue in a place of its own, the
//! [`Outlet`], and so
//!
//! ```text
//! taken = accepted - left + reserved      never more than the capacity
//! ```
//!
//! As `left` only rises, a sender may go by what it was some time ago (`left_before`): there is at least as much room
//! as that shows. Only if that is not enough, or more slots seem to be taken than ever were, does a sender look at the
//! receiver's count, and remembers what it was. So does whoever gives a slot to a waiting send, for what is remembered must
//! not be older than 2^33 sends. Nor therefore may a thread stand for so many between two steps here, be it between a look
//! at the count and remembering it, or between a look at the word and its change.

use super::outlet::{Outlet, Signs};
use super::sync::{AtomicU64, Guard, Mutex, Ordering, lock_own};
use super::waiting::{Line, Served, Ticket, Wakers, let_go};
use std::task::{Context, Poll};

const CLOSED: u64 = 1;
const WAITING: u64 = 1 << 1;
const RESERVED_SHIFT: u32 = 4;
const RESERVED_ONE: u64 = 1 << RESERVED_SHIFT;
const RESERVED_MASK: u64 = (1 << 27) - 1;
const ACCEPTED_SHIFT: u32 = 31;
const ACCEPTED_ONE: u64 = 1 << ACCEPTED_SHIFT;
const CAPACITY_SHIFT: u32 = 32;
const HIGH_WATER_MASK: u64 = (1 << CAPACITY_SHIFT) - 1;
/// More than can ever be queued.
const MAX_QUEUED: u64 = 1 << 27;

/// The largest capacity; more is cut to it.
pub(crate) const MAX_CAPACITY: usize = (1 << 26) - 1;

/// Why an envelope was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Every slot is taken, or someone waits for one.
    Full,
    /// The mailbox accepts nothing more.
    Closed,
}

/// What one look at the word shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look(u64);

impl Look {
    pub(super) const fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// Whether it is open, nothing is queued, given how many have left, no slot is reserved, and nobody waits for one.
    #[inline]
    pub(super) const fn is_unused(self, left: u64) -> bool {
        self.0 == left << ACCEPTED_SHIFT
    }

    pub(super) const fn reserved(self) -> u64 {
        (self.0 >> RESERVED_SHIFT) & RESERVED_MASK
    }

    /// How many messages have been accepted, given how many of them have left the queue by now or a little
    /// earlier.
    pub(super) const fn accepted(self, left: u64) -> u64 {
        left.wrapping_add(self.queued(left))
    }

    /// How many messages are queued, given how many have left. If those that left were looked at later, more than
    /// there ever can be.
    const fn queued(self, left: u64) -> u64 {
        self.0.wrapping_sub(left << ACCEPTED_SHIFT) >> ACCEPTED_SHIFT
    }

    /// Whether messages had left by then that were accepted later than this look.
    const fn is_older_than(self, left: u64) -> bool {
        self.queued(left) > MAX_QUEUED
    }

    /// How many slots are taken, given how many messages have left the queue by now or earlier: the earlier, the more
    /// it seems.
    const fn taken(self, left: u64) -> u64 {
        self.queued(left) + self.reserved()
    }
}

/// The line's lock.
#[must_use = "it is released when this is dropped"]
pub(super) struct Alone<'a> {
    _lock: Guard<'a, Line>,
}

/// The word lies last, beside the queue's tail: a sender writes both.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Slots {
    line: Mutex<Line>,
    served: Served,
    /// The capacity, and in the lower half the most slots that were taken at once, which is never more: a message that
    /// finds fewer taken than that, or none, has room. That one was taken need not be noted.
    bounds: AtomicU64,
    /// How many messages had left the queue when a sender last looked.
    left_before: AtomicU64,
    pub(super) word: AtomicU64,
}

impl Slots {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            line: Mutex::new(Line::default()),
            served: Served::default(),
            bounds: AtomicU64::new(clamp(capacity) << CAPACITY_SHIFT),
            left_before: AtomicU64::new(0),
            word: AtomicU64::new(0),
        }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.bounds.load(Ordering::Relaxed) >> CAPACITY_SHIFT
    }

    /// The most slots that were taken at once, given how many sends were accepted by now.
    pub(super) fn high_water(&self, accepted: u64) -> u64 {
        self.noted().max(accepted.min(1))
    }

    #[inline]
    fn noted(&self) -> u64 {
        self.bounds.load(Ordering::Relaxed) & HIGH_WATER_MASK
    }

    #[inline]
    pub(super) fn look(&self) -> Look {
        // SeqCst: the holder of the turn looks after it has let go, see `turn`.
        Look(self.word.load(Ordering::SeqCst))
    }

    pub(super) fn waiting(&self) -> usize {
        lock_own(&self.line).len()
    }

    /// Changes the capacity, and gives slots that this frees to whoever waits.
    pub(super) fn set_capacity(&self, capacity: usize, outlet: &Outlet) {
        let capacity = clamp(capacity);
        self.bound(|_, high_water| (capacity, high_water.min(capacity)));
        self.grant(outlet);
    }

    /// Changes the bounds.
    fn bound(&self, change: impl Fn(u64, u64) -> (u64, u64)) {
        let mut bounds = self.bounds.load(Ordering::Relaxed);
        loop {
            let (capacity, high_water) = change(bounds >> CAPACITY_SHIFT, bounds & HIGH_WATER_MASK);
            let next = capacity << CAPACITY_SHIFT | high_water;
            match self.bounds.compare_exchange_weak(
                bounds,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => bounds = seen,
            }
        }
    }

    /// Accepts a send: afterwards the caller pushes, whatever happens meanwhile.
    #[inline]
    pub(super) fn accept(&self, outlet: &Outlet) -> Result<(), Refused> {
        // Acquire: as in `take`, of which this is the usual case. Nobody waits, no slot is reserved, and the message
        // is not the first for which so many slots are taken.
        let word = self.word.load(Ordering::Acquire);
        if word & (CLOSED | WAITING | RESERVED_MASK << RESERVED_SHIFT) == 0 {
            let look = Look(word);
            // There is always room for one, and none has to be noted: see `high_water`.
            let high_water = self.noted().max(1);
            let before = self.left_before();
            let has_room = look.queued(before) < high_water
                || look.queued(self.see(outlet, before)) < high_water;
            if has_room && self.exchange(word, word.wrapping_add(ACCEPTED_ONE)).is_ok() {
                return Ok(());
            }
        }
        self.take(ACCEPTED_ONE, outlet)
    }

    #[inline]
    fn exchange(&self, from: u64, to: u64) -> Result<u64, u64> {
        // SeqCst: a sender goes on to look whose turn it is, and must not look earlier, see `turn`.
        self.word
            .compare_exchange_weak(from, to, Ordering::SeqCst, Ordering::Acquire)
    }

    /// What was remembered last of how many messages had left.
    #[inline]
    fn left_before(&self) -> u64 {
        // Acquire: who looks at the receiver's count afterwards sees no less.
        self.left_before.load(Ordering::Acquire)
    }

    /// How many messages have left the queue, and remembers it. `before` was remembered until now.
    #[inline]
    fn see(&self, outlet: &Outlet, before: u64) -> u64 {
        let now = outlet.popped();
        if now != before {
            // It may go back, if another sender has looked later and was faster: whoever finds too little room then
            // looks again.
            self.left_before.store(now, Ordering::Release);
        }
        now
    }

    /// Adds `what`, which takes a slot, if one is free and nobody waits.
    #[inline(never)]
    fn take(&self, what: u64, outlet: &Outlet) -> Result<(), Refused> {
        let mut before = self.left_before();
        // Acquire: the word was like this before `left` is looked at. So if it says that there is no room, that was so.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word & CLOSED != 0 {
                return Err(Refused::Closed);
            }
            if word & WAITING != 0 {
                return Err(Refused::Full);
            }
            let mut taken = Look(word).taken(before);
            if taken >= self.noted() {
                let seen = self.see(outlet, before);
                if Look(word).is_older_than(seen) {
                    word = self.word.load(Ordering::Acquire);
                    continue;
                }
                before = seen;
                taken = Look(word).taken(before);
            }
            if taken >= self.capacity() {
                return Err(Refused::Full);
            }
            match self.exchange(word, word.wrapping_add(what)) {
                Ok(_) => {
                    self.note(taken + 1);
                    return Ok(());
                }
                Err(seen) => word = seen,
            }
        }
    }

    /// Remembers the most slots that were taken at once.
    pub(super) fn note(&self, taken: u64) {
        if taken > self.noted() {
            self.bound(|capacity, high_water| (capacity, high_water.max(taken).min(capacity)));
        }
    }

    /// Waits for a slot, which then belongs to the caller until [`accept_reserved`] or [`release`]. A
    /// caller that gives up while `ticket` is set calls [`leave`].
    ///
    /// [`accept_reserved`]: Self::accept_reserved
    /// [`release`]: Self::release
    /// [`leave`]: Self::leave
    pub(super) fn poll_reserve(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
        outlet: &Outlet,
    ) -> Poll<Result<(), Refused>> {
        if ticket.is_none() {
            match self.take(RESERVED_ONE, outlet) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(Refused::Closed) => return Poll::Ready(Err(Refused::Closed)),
                Err(Refused::Full) => {}
            }
        }
        self.poll_line(ticket, cx, outlet)
    }

    /// The same for one who has just found no room: stands in line, unless there is room by now.
    pub(super) fn poll_line(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
        outlet: &Outlet,
    ) -> Poll<Result<(), Refused>> {
        match ticket {
            None => self.join_line(ticket, cx, outlet),
            // Most often one is polled again because it was given a slot, which shows without the lock.
            Some(mine) if self.served.includes(*mine) && !self.look().is_closed() => {
                *ticket = None;
                Poll::Ready(Ok(()))
            }
            Some(mine) => {
                // As in `join_line`.
                let waker = cx.waker().clone();
                let (found, needless) = {
                    let mut line = lock_own(&self.line);
                    // Closing dissolves the line, and every promise is void.
                    if self.look().is_closed() {
                        (Poll::Ready(Err(Refused::Closed)), Some(waker))
                    } else {
                        match line.renew(*mine, waker) {
                            Ok(replaced) => (Poll::Pending, replaced),
                            Err(waker) => (Poll::Ready(Ok(())), Some(waker)),
                        }
                    }
                };
                if found.is_ready() {
                    *ticket = None;
                }
                let_go(needless);
                found
            }
        }
    }

    fn join_line(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
        outlet: &Outlet,
    ) -> Poll<Result<(), Refused>> {
        // Cloned before the lock is taken, for a waker made by hand may panic.
        let waker = cx.waker().clone();
        let found = {
            let mut line = lock_own(&self.line);
            // From here on no send overtakes this one; a slot freed before is seen now, one freed later is
            // given away under the lock.
            if self.begin_line(outlet) & CLOSED != 0 {
                self.end_line(outlet);
                Err(Refused::Closed)
            } else if line.is_empty() && self.reserve(outlet, true) {
                Ok(())
            } else {
                *ticket = Some(line.join(waker));
                return Poll::Pending;
            }
        };
        // So may its drop, with which the slot would be lost.
        let_go(waker);
        Poll::Ready(found)
    }

    /// Someone is about to stand in line. Under the line's lock, as are the next two. What the word was or is.
    fn begin_line(&self, outlet: &Outlet) -> u64 {
        let mut word = self.word.load(Ordering::Acquire);
        if word & WAITING == 0 {
            word = self.word.fetch_or(WAITING, Ordering::SeqCst);
            outlet.sign(Signs::WAITED_FOR);
        }
        word
    }

    /// Nobody stands in line.
    fn end_line(&self, outlet: &Outlet) {
        outlet.end_line();
        self.word.fetch_and(!WAITING, Ordering::SeqCst);
    }

    /// Reserves a slot if one is free. While `WAITING` is set, as it is now, nobody else does. If it is for the last
    /// in line, nobody stands there from now on.
    fn reserve(&self, outlet: &Outlet, last: bool) -> bool {
        // In this order, so that what has left was accepted.
        let left = self.see(outlet, self.left_before());
        let taken = self.look().taken(left);
        let is_free = taken < self.capacity();
        if is_free {
            self.note(taken + 1);
            if last {
                outlet.end_line();
            }
            let ends = if last { WAITING } else { 0 };
            self.word.fetch_add(RESERVED_ONE - ends, Ordering::SeqCst);
        }
        is_free
    }

    /// Accepts a send into a slot that was reserved; false if the mailbox has closed since.
    pub(super) fn accept_reserved(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & CLOSED != 0 {
                return false;
            }
            let next = word.wrapping_add(ACCEPTED_ONE - RESERVED_ONE);
            match self.exchange(word, next) {
                Ok(_) => return true,
                Err(seen) => word = seen,
            }
        }
    }

    /// Keeps others that call this, and whoever closes the mailbox, out until it is dropped.
    pub(super) fn alone(&self) -> Alone<'_> {
        Alone {
            _lock: lock_own(&self.line),
        }
    }

    /// Whether a send that came at the time of this look would find no room, given how many messages had left by then.
    pub(super) fn is_full(&self, look: Look, left: u64) -> bool {
        look.0 & WAITING != 0 || look.taken(left) >= self.capacity()
    }

    /// Gives a reserved slot back, to the longest waiter if there is one.
    pub(super) fn release(&self, outlet: &Outlet) {
        let before = self.word.fetch_sub(RESERVED_ONE, Ordering::SeqCst);
        if before & WAITING != 0 {
            self.grant(outlet);
        }
    }

    /// Whether a send still stands in line.
    #[cfg(debug_assertions)]
    pub(super) fn still_waits(&self, ticket: Ticket) -> bool {
        lock_own(&self.line).has(ticket)
    }

    /// Gives up waiting, whether or not a slot was promised meanwhile.
    pub(super) fn leave(&self, ticket: Ticket, outlet: &Outlet) {
        let mut replaced = None;
        let promised = {
            let mut line = lock_own(&self.line);
            let waited = line.leave(ticket, &mut replaced);
            if line.is_empty() {
                self.end_line(outlet);
            }
            // Closing took every promise back.
            !waited && !self.look().is_closed()
        };
        if promised {
            self.release(outlet);
        }
    }

    /// Gives free slots to those who wait.
    #[cold]
    pub(super) fn grant(&self, outlet: &Outlet) {
        let mut wakers = Wakers::default();
        {
            let mut line = lock_own(&self.line);
            // `WAITING` is set as long as anyone is in line, and changes under the lock alone.
            while !line.is_empty()
                && !self.look().is_closed()
                && self.reserve(outlet, line.len() == 1)
            {
                let Some((ticket, waker)) = line.grant() else {
                    break;
                };
                self.served.set(ticket);
                wakers.push(waker);
            }
        }
        wakers.wake();
    }

    /// Accepts nothing more; slots that were promised and permits are void, so what is taken afterwards is queued.
    /// True if somebody may stand in line, and is to be [sent away](Self::dissolve).
    #[inline]
    pub(super) fn close(&self, outlet: &Outlet) -> bool {
        if self.look().is_closed() {
            return false;
        }
        // Whoever evicts holds the lock.
        let alone = outlet.signs().evicts().then(|| self.alone());
        // SeqCst: who closes goes on to look whose turn it is, see `turn`.
        let before = self.word.fetch_or(CLOSED, Ordering::SeqCst);
        drop(alone);
        // If nobody does, whoever comes now finds the mailbox closed.
        before & WAITING != 0
    }

    /// Whoever stands in line is to be woken, and finds the mailbox closed. Only after [`close`](Self::close).
    #[cold]
    pub(super) fn dissolve(&self, outlet: &Outlet) -> Wakers {
        let mut line = lock_own(&self.line);
        self.end_line(outlet);
        line.dissolve()
    }
}

fn clamp(capacity: usize) -> u64 {
    capacity.clamp(1, MAX_CAPACITY) as u64
}

#[cfg(all(test, not(postroom_loom)))]
mod tests {
    use super::*;
    use std::mem::ManuallyDrop;
    use std::ptr;
    use std::task::{RawWaker, RawWakerVTable, Waker};

    /// Empty, after so many messages have come and left.
    fn after(messages: u64, capacity: usize) -> (Slots, Outlet) {
        let mut slots = Slots::new(capacity);
        slots.word = AtomicU64::new(messages << ACCEPTED_SHIFT);
        slots.left_before = AtomicU64::new(messages);
        (slots, Outlet::after(messages))
    }

    #[test]
    fn r03_the_count_of_messages_may_wrap_around() {
        let begin = (1 << 33) - 5;
        let (slots, outlet) = after(begin, 3);
        for round in 0..10 {
            for taken in 0..3 {
                assert_eq!(slots.accept(&outlet), Ok(()), "{round}, {taken}");
            }
            assert_eq!(slots.accept(&outlet), Err(Refused::Full), "{round}");
            for _ in 0..3 {
                assert!(outlet.take().are_none());
            }
            let messages = begin + 3 * (round + 1);
            assert_eq!(slots.look().accepted(outlet.popped()), messages);
            assert!(slots.look().is_unused(messages));
        }
        assert_eq!(slots.high_water(begin + 30), 3);
    }

    /// Whoever waits for room does not let what senders remember of the receiver's count grow old.
    #[test]
    fn r03_what_senders_remember_is_renewed_while_all_of_them_wait() {
        let (slots, outlet) = after(0, 1);
        assert_eq!(slots.accept(&outlet), Ok(()));
        let cx = Context::from_waker(Waker::noop());
        for messages in 1..10 {
            let mut ticket = None;
            assert!(slots.poll_line(&mut ticket, &cx, &outlet).is_pending());
            assert!(outlet.take().is_waited_for());
            slots.grant(&outlet);
            assert_eq!(slots.left_before(), messages);
            assert!(slots.poll_line(&mut ticket, &cx, &outlet).is_ready());
            assert!(slots.accept_reserved());
        }
        assert_eq!(slots.high_water(9), 1);
    }

    #[test]
    fn r03_a_waker_that_panics_when_dropped_loses_no_slot() {
        static BROKEN: RawWakerVTable = RawWakerVTable::new(
            |_| RawWaker::new(ptr::null(), &BROKEN),
            |_| {},
            |_| {},
            |_| panic!("a broken waker"),
        );
        // SAFETY: none of these functions uses the pointer.
        let broken = unsafe { Waker::from_raw(RawWaker::new(ptr::null(), &BROKEN)) };
        let broken = ManuallyDrop::new(broken);
        let (slots, outlet) = after(0, 1);
        // There is room by the time it would stand in line.
        let reserved = slots.poll_line(&mut None, &Context::from_waker(&broken), &outlet);
        assert_eq!(reserved, Poll::Ready(Ok(())));
        slots.release(&outlet);
        assert_eq!(slots.accept(&outlet), Ok(()));
    }

    /// As by a sender that has looked at the receiver's count long before it remembers what it was.
    #[test]
    fn r03_what_senders_remember_may_go_back() {
        let (slots, outlet) = after(0, 3);
        for round in 1..10 {
            while slots.accept(&outlet).is_ok() {}
            slots.left_before.store(0, Ordering::Relaxed);
            assert_eq!(slots.accept(&outlet), Err(Refused::Full), "{round}");
            assert!(outlet.take().are_none());
            slots.left_before.store(0, Ordering::Relaxed);
            assert_eq!(slots.accept(&outlet), Ok(()), "{round}");
            slots.left_before.store(0, Ordering::Relaxed);
            assert_eq!(slots.look().taken(outlet.popped()), 3);
            assert!(outlet.take().are_none());
        }
    }

    /// The first slot need not be noted, but for a permit.
    #[test]
    fn r03_one_slot_is_the_high_water_mark_of_one_that_was_taken() {
        let (slots, outlet) = after(0, 3);
        assert_eq!(slots.high_water(0), 0);
        assert_eq!(slots.accept(&outlet), Ok(()));
        assert_eq!(slots.high_water(1), 1);
        assert!(outlet.take().are_none());
        assert_eq!(slots.accept(&outlet), Ok(()));
        assert_eq!(slots.high_water(2), 1);
        assert_eq!(slots.accept(&outlet), Ok(()));
        assert_eq!(slots.high_water(3), 2);

        let (slots, outlet) = after(0, 3);
        let cx = Context::from_waker(Waker::noop());
        assert!(slots.poll_reserve(&mut None, &cx, &outlet).is_ready());
        slots.release(&outlet);
        assert_eq!(slots.high_water(0), 1);
    }

    #[test]
    fn r03_a_capacity_that_is_lowered_holds_from_then_on() {
        let (slots, outlet) = after(0, 5);
        for _ in 0..4 {
            assert_eq!(slots.accept(&outlet), Ok(()));
        }
        slots.set_capacity(2, &outlet);
        for taken in (2..=4).rev() {
            assert_eq!(slots.accept(&outlet), Err(Refused::Full), "{taken}");
            assert!(outlet.take().are_none());
        }
        assert_eq!(slots.accept(&outlet), Ok(()));
        assert_eq!(slots.accept(&outlet), Err(Refused::Full));
    }
}
