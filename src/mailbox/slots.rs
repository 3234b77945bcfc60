//! Who may send: the bounded number of slots, who waits for one, and how many sends were accepted.
//!
//! One word answers a send, so that closing, filling and counting are one atomic step each:
//!
//! ```text
//!  63          31 30            4  3        2        1         0
//! ┌──────────────┬───────────────┬────────┬────────┬─────────┬────────┐
//! │ accepted     │ taken         │ evicts │ seized │ waiting │ closed │
//! └──────────────┴───────────────┴────────┴────────┴─────────┴────────┘
//! ```
//!
//! - `taken` counts the slots of queued messages, of permits, and of waiting sends that were given a slot and
//!   have not used it yet. It never exceeds the capacity.
//! - `accepted` counts sends, modulo 2^33. Its distance to the messages that have left the queue is below 2^27,
//!   so the whole number can be had from it.
//! - `waiting` is set while anyone stands in line. A send that does not wait, or has just come, then finds no
//!   room: whoever frees a slot gives it to the head of the line, under the line's lock.
//! - `seized` is set when the receiving end is taken away from an actor whose handler never yields.
//! - `evicts` is set from the beginning if senders may push the oldest message out of a full mailbox. They, and the
//!   receiver while it takes a message, then hold the line's lock, and so does whoever closes.
//! - `closed`, `seized` and `evicts` are never cleared.

use super::sync::{AtomicU32, AtomicU64, Guard, Mutex, Ordering, lock_own};
use super::waiting::{Line, Ticket, Wakers};
use std::task::{Context, Poll};

const CLOSED: u64 = 1;
const WAITING: u64 = 1 << 1;
const SEIZED: u64 = 1 << 2;
const EVICTS: u64 = 1 << 3;
const TAKEN_SHIFT: u32 = 4;
const TAKEN_ONE: u64 = 1 << TAKEN_SHIFT;
const TAKEN_MASK: u64 = (1 << 27) - 1;
const ACCEPTED_SHIFT: u32 = 31;
const ACCEPTED_ONE: u64 = 1 << ACCEPTED_SHIFT;
const ACCEPTED_MASK: u64 = (1 << 33) - 1;

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

    /// Whether it is open, no slot is taken, and nobody waits for one.
    pub(super) const fn is_unused(self) -> bool {
        self.0 & (CLOSED | WAITING | TAKEN_MASK << TAKEN_SHIFT) == 0
    }

    pub(super) const fn is_seized(self) -> bool {
        self.0 & SEIZED != 0
    }

    pub(super) const fn evicts(self) -> bool {
        self.0 & EVICTS != 0
    }

    /// Whether taking a message is no more than counting and popping.
    pub(super) const fn is_plain(self) -> bool {
        self.0 & (WAITING | SEIZED | EVICTS) == 0
    }

    pub(super) const fn taken(self) -> u64 {
        (self.0 >> TAKEN_SHIFT) & TAKEN_MASK
    }

    /// How many messages have been accepted, given how many of them have left the queue by now or a little
    /// earlier.
    pub(super) const fn accepted(self, left: u64) -> u64 {
        let low = self.0 >> ACCEPTED_SHIFT;
        left.wrapping_add(low.wrapping_sub(left) & ACCEPTED_MASK)
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
    capacity: AtomicU32,
    high_water: AtomicU32,
    pub(super) word: AtomicU64,
}

impl Slots {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            word: AtomicU64::new(0),
            capacity: AtomicU32::new(clamp(capacity)),
            high_water: AtomicU32::new(0),
            line: Mutex::new(Line::default()),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity.load(Ordering::Relaxed) as usize
    }

    pub(super) fn high_water(&self) -> usize {
        self.high_water.load(Ordering::Relaxed) as usize
    }

    pub(super) fn look(&self) -> Look {
        // SeqCst: the holder of the turn looks after it has let go, see `turn`.
        Look(self.word.load(Ordering::SeqCst))
    }

    pub(super) fn waiting(&self) -> usize {
        lock_own(&self.line).len()
    }

    /// Changes the capacity, and gives slots that this frees to whoever waits.
    pub(super) fn set_capacity(&self, capacity: usize) {
        self.capacity.store(clamp(capacity), Ordering::Relaxed);
        self.grant();
    }

    /// Accepts a send: afterwards the caller pushes, whatever happens meanwhile.
    #[inline]
    pub(super) fn accept(&self) -> Result<(), Refused> {
        self.take(TAKEN_ONE + ACCEPTED_ONE)
    }

    /// Adds `what`, which includes a slot, if one is free and nobody waits.
    #[inline]
    fn take(&self, what: u64) -> Result<(), Refused> {
        let capacity = u64::from(self.capacity.load(Ordering::Relaxed));
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & CLOSED != 0 {
                return Err(Refused::Closed);
            }
            let taken = Look(word).taken();
            if word & WAITING != 0 || taken >= capacity {
                return Err(Refused::Full);
            }
            let next = word.wrapping_add(what);
            // SeqCst: the sender goes on to look whose turn it is, and must not look earlier, see `turn`.
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => {
                    self.note(taken + 1);
                    return Ok(());
                }
                Err(seen) => word = seen,
            }
        }
    }

    /// Remembers the most slots that were taken at once.
    #[inline]
    #[expect(clippy::cast_possible_truncation)] // `taken` has 27 bits
    pub(super) fn note(&self, taken: u64) {
        let taken = taken as u32;
        if taken > self.high_water.load(Ordering::Relaxed) {
            self.high_water.fetch_max(taken, Ordering::Relaxed);
        }
    }

    /// Waits in line for a slot, which then belongs to the caller until [`accept_reserved`] or [`release`]. A
    /// caller that gives up while `ticket` is set calls [`leave`].
    ///
    /// [`accept_reserved`]: Self::accept_reserved
    /// [`release`]: Self::release
    /// [`leave`]: Self::leave
    pub(super) fn poll_reserve(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Refused>> {
        if ticket.is_none() {
            match self.take(TAKEN_ONE) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(Refused::Closed) => return Poll::Ready(Err(Refused::Closed)),
                Err(Refused::Full) => {}
            }
        }
        // Cloned before the lock is taken, for a waker made by hand may panic; and dropped after it, like the other.
        let waker = ticket.is_none().then(|| cx.waker().clone());
        let mut replaced = None;
        let mut line = lock_own(&self.line);
        if let Some(mine) = *ticket {
            if self.look().is_closed() {
                // Closing dissolves the line, and every promise is void.
                *ticket = None;
                return Poll::Ready(Err(Refused::Closed));
            }
            if line.still_waits(mine, cx, &mut replaced) {
                return Poll::Pending;
            }
            *ticket = None;
            return Poll::Ready(Ok(()));
        }
        // From here on no send overtakes this one; a slot freed before is seen now, one freed later is
        // given away under the lock.
        let word = self.word.fetch_or(WAITING, Ordering::AcqRel);
        if word & CLOSED != 0 {
            self.word.fetch_and(!WAITING, Ordering::AcqRel);
            return Poll::Ready(Err(Refused::Closed));
        }
        if line.is_empty() && self.has_slot() {
            self.word.fetch_add(TAKEN_ONE, Ordering::AcqRel);
            self.word.fetch_and(!WAITING, Ordering::AcqRel);
            return Poll::Ready(Ok(()));
        }
        *ticket = waker.map(|waker| line.join(waker));
        Poll::Pending
    }

    /// Accepts a send into a slot that was reserved; false if the mailbox has closed since.
    pub(super) fn accept_reserved(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & CLOSED != 0 {
                return false;
            }
            let next = word.wrapping_add(ACCEPTED_ONE);
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => {
                    self.note(Look(word).taken());
                    return true;
                }
                Err(seen) => word = seen,
            }
        }
    }

    /// Lets senders push the oldest message out. Only before there are any.
    pub(super) fn set_evicts(&self) {
        self.word.fetch_or(EVICTS, Ordering::AcqRel);
    }

    /// Keeps others that call this, and whoever closes the mailbox, out until it is dropped.
    pub(super) fn alone(&self) -> Alone<'_> {
        Alone {
            _lock: lock_own(&self.line),
        }
    }

    /// Whether a send that came at the time of this look would find no room.
    pub(super) fn is_full(&self, look: Look) -> bool {
        look.0 & WAITING != 0 || look.taken() >= self.capacity.load(Ordering::Relaxed).into()
    }

    /// Frees a slot, and gives it to the longest waiter if there is one.
    pub(super) fn release(&self) {
        let before = self.free();
        self.pass_on(before);
    }

    /// Frees a slot. What was there before goes to [`pass_on`](Self::pass_on), if it is not plain.
    #[inline]
    pub(super) fn free(&self) -> Look {
        Look(self.word.fetch_sub(TAKEN_ONE, Ordering::SeqCst))
    }

    /// Gives the slot that was freed to the longest waiter if there is one.
    pub(super) fn pass_on(&self, before: Look) {
        if before.0 & WAITING != 0 {
            self.grant();
        }
    }

    /// The slot that was just released is still in use, its message having been taken away. Only when seized,
    /// and so closed.
    #[cold]
    pub(super) fn take_back(&self) {
        self.word.fetch_add(TAKEN_ONE, Ordering::SeqCst);
    }

    /// Takes the receiving end away from whoever has the turn; false if somebody did before.
    pub(super) fn seize(&self) -> bool {
        self.word.fetch_or(SEIZED, Ordering::SeqCst) & SEIZED == 0
    }

    /// Whether a send still stands in line.
    #[cfg(debug_assertions)]
    pub(super) fn still_waits(&self, ticket: Ticket) -> bool {
        lock_own(&self.line).has(ticket)
    }

    /// Gives up waiting, whether or not a slot was promised meanwhile.
    pub(super) fn leave(&self, ticket: Ticket) {
        let mut replaced = None;
        let promised = {
            let mut line = lock_own(&self.line);
            let left = line.leave(ticket, &mut replaced);
            if line.is_empty() {
                self.word.fetch_and(!WAITING, Ordering::AcqRel);
            }
            // Closing took every promise back.
            !left && !self.look().is_closed()
        };
        if promised {
            self.release();
        }
    }

    /// Whether a slot is free. Only under the line's lock, with `WAITING` set, does it stay so.
    fn has_slot(&self) -> bool {
        self.look().taken() < self.capacity.load(Ordering::Relaxed).into()
    }

    /// Gives free slots to those who wait.
    #[cold]
    fn grant(&self) {
        let mut wakers = Wakers::default();
        {
            let mut line = lock_own(&self.line);
            while self.has_slot() && !self.look().is_closed() {
                let Some(waker) = line.grant() else { break };
                wakers.push(waker);
                // `WAITING` is set as long as anyone is in line, and changes under the lock alone.
                let last = if line.is_empty() { WAITING } else { 0 };
                self.word.fetch_add(TAKEN_ONE - last, Ordering::AcqRel);
            }
        }
        wakers.wake();
    }

    /// Accepts nothing more; slots that were promised and permits are void, so what is taken afterwards is queued.
    /// True if somebody may stand in line, and is to be [sent away](Self::dissolve).
    #[inline]
    pub(super) fn close(&self) -> bool {
        let look = self.look();
        if look.is_closed() {
            return false;
        }
        // Whoever evicts holds the lock.
        let alone = look.evicts().then(|| self.alone());
        // SeqCst: who closes goes on to look whose turn it is, see `turn`.
        let before = self.word.fetch_or(CLOSED, Ordering::SeqCst);
        drop(alone);
        // If nobody does, whoever comes now finds the mailbox closed.
        before & WAITING != 0
    }

    /// Whoever stands in line is to be woken, and finds the mailbox closed. Only after [`close`](Self::close).
    #[cold]
    pub(super) fn dissolve(&self) -> Wakers {
        let mut line = lock_own(&self.line);
        self.word.fetch_and(!WAITING, Ordering::AcqRel);
        line.dissolve()
    }
}

#[expect(clippy::cast_possible_truncation)] // cut to 26 bits first
fn clamp(capacity: usize) -> u32 {
    capacity.min(MAX_CAPACITY) as u32
}
