//! The parts put together: what senders and the actor's task do with a mailbox.

use super::account::{Counters, Outcome};
use super::cell::Letter;
use super::envelope::{Envelope, Takes, kind};
use super::hold::{Hold, Loan, Seizure};
use super::outlet::{Outlet, Signs};
use super::queue::Queue;
use super::seat::Seat;
use super::slots::{Alone, Slots};
use super::sync::{AtomicBool, AtomicU8, AtomicU16, Ordering, fence, relax};
use super::turn::Turn;
use super::{Account, Level, MailboxStats, Refused, Ticket};
use std::fmt;
use std::task::{Context, Poll, Waker};

/// The message whose place was taken, if there was no room; or a letter that was refused.
type Replaced<S, L> = Result<Option<Envelope<S>>, (L, Refused)>;

/// A bounded queue of messages, the seat of the state that handles them, and whose turn it is.
///
/// In this order: what senders write up to the queue's `tail`, what the receiver writes from its `first` on.
#[repr(C)]
pub(crate) struct Mailbox<S: 'static> {
    id: u64,
    pub(super) turn: Turn,
    pub(super) slots: Slots,
    pub(super) queue: Queue,
    pub(super) outlet: Outlet,
    level: AtomicU8,
    let_out: AtomicBool,
    /// See [`Hold::tally`].
    pub(super) tally: AtomicU16,
    pub(super) counters: Counters,
    #[cfg(feature = "testing")]
    pub(super) gate: super::gate::Gate,
    pub(super) seat: Seat<S>,
}

// SAFETY: the seat is reached only through a `Hold`, and there is one at a time: the task's, of which the one
// `Tenancy` is proof, while the turn is held, or a borrower's while it is lent. The rest is `Sync` of itself.
unsafe impl<S: Send + 'static> Sync for Mailbox<S> {}

#[cfg(not(postroom_loom))]
impl<S: 'static> Mailbox<S> {
    /// Where what each sender writes begins: 16 bytes that are to lie in one line of the cache.
    pub(crate) const OF_SENDERS: usize =
        std::mem::offset_of!(Self, slots) + std::mem::offset_of!(Slots, word);
}

// The tail of the queue follows.
#[cfg(all(target_pointer_width = "64", not(postroom_loom)))]
const _: () = assert!(std::mem::offset_of!(Mailbox<()>, queue) == Mailbox::<()>::OF_SENDERS + 8);

/// The right to be the task of one mailbox. There is one for each.
#[derive(Debug)]
pub(crate) struct Tenancy(u64);

impl<S: Send + 'static> Mailbox<S> {
    /// An empty mailbox, and the right to be its task.
    #[inline]
    pub(crate) fn new(capacity: usize) -> (Self, Tenancy) {
        // Not loom's: it only tells mailboxes apart.
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mailbox = Self {
            id,
            turn: Turn::new(),
            slots: Slots::new(capacity),
            queue: Queue::new(),
            outlet: Outlet::default(),
            level: AtomicU8::new(Level::Open.as_u8()),
            let_out: AtomicBool::new(false),
            tally: AtomicU16::new(0),
            counters: Counters::default(),
            #[cfg(feature = "testing")]
            gate: super::gate::Gate::new(),
            seat: Seat::new(),
        };
        (mailbox, Tenancy(id))
    }

    /// Its number, unique in the process.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    // ---- senders ----

    /// Changes the capacity. Only before the actor starts.
    pub(crate) fn set_capacity(&self, capacity: usize) {
        self.slots.set_capacity(capacity, &self.outlet);
    }

    /// Lets senders push out the oldest message. Only before the actor starts.
    pub(crate) fn set_evicts(&self) {
        self.outlet.sign(Signs::EVICTS);
    }

    /// Whether senders may push out the oldest message.
    pub(crate) fn evicts(&self) -> bool {
        self.outlet.signs().evicts()
    }

    /// For a sender that found no room in a mailbox that evicts: pushes the message in the place of the oldest, which
    /// is returned to be given back, unless there is room by now. Refused if permits take all the slots, or somebody
    /// waits for one and nothing is queued.
    #[cold]
    pub(crate) fn push_in_place_of_oldest<M: Send + 'static>(
        &self,
        letter: Letter<M, S::Answer>,
    ) -> Replaced<S, Letter<M, S::Answer>>
    where
        S: Takes<M>,
    {
        let mut looks = 0;
        let alone = loop {
            let alone = self.slots.alone();
            match self.slots.accept(&self.outlet) {
                Ok(()) => {
                    drop(alone);
                    self.push(letter);
                    return Ok(None);
                }
                Err(Refused::Closed) => return Err((letter, Refused::Closed)),
                Err(Refused::Full) => {}
            }
            let is_reached_into = self.outlet.is_reaching_in();
            let popped = self.outlet.popped();
            let look = self.slots.look();
            if look.accepted(popped) != popped {
                break alone;
            }
            if is_reached_into {
                // The receiver is in the middle of taking the only message, for which it needs the lock, and then
                // gives its slot to whoever waits: or nobody does by then.
                drop(alone);
                relax(&mut looks);
            } else if self.slots.is_full(look, popped) {
                return Err((letter, Refused::Full));
            }
        };
        // SAFETY: senders do this under the lock, and so does the receiver pop, which it has announced in `popped` by
        // then: a message was accepted that nobody has popped. If the receiver is about to, it gets the other. Nobody
        // has seized the queue: that comes after closing, and the mailbox is not closed, nor will be under the lock.
        let oldest = unsafe { Envelope::new(self.queue.pop_accepted()) };
        self.counters.replaced(oldest.evict());
        // SAFETY: as in `push`. The holder of the turn need not be told: it was of the oldest, or will be.
        unsafe { self.queue.push(letter.into_header(), kind::<S, M>()) };
        drop(alone);
        Ok(Some(oldest))
    }

    /// Counts a message that was told and dropped because there was no room.
    pub(crate) fn count_dropped(&self) {
        self.counters.dropped();
    }

    /// Accepts a message if a slot is free and nobody waits for one.
    #[inline(always)]
    #[expect(clippy::inline_always)] // what it returns does not fit into registers
    pub(crate) fn try_push<M: Send + 'static>(
        &self,
        letter: Letter<M, S::Answer>,
    ) -> Result<(), (Letter<M, S::Answer>, Refused)>
    where
        S: Takes<M>,
    {
        match self.slots.accept(&self.outlet) {
            Ok(()) => {
                self.push(letter);
                Ok(())
            }
            Err(refused) => Err((letter, refused)),
        }
    }

    /// Waits in line for a slot, which then belongs to the caller until [`push_reserved`] or
    /// [`release`]. A caller that gives up while `ticket` is set calls [`leave`].
    ///
    /// [`push_reserved`]: Self::push_reserved
    /// [`release`]: Self::release
    /// [`leave`]: Self::leave
    pub(crate) fn poll_reserve(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Refused>> {
        self.slots.poll_reserve(ticket, cx, &self.outlet)
    }

    /// The same for a sender that has just found no room.
    pub(crate) fn poll_line(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Refused>> {
        self.slots.poll_line(ticket, cx, &self.outlet)
    }

    /// Fills a slot that was reserved; refused if the mailbox has closed since.
    pub(crate) fn push_reserved<M: Send + 'static>(
        &self,
        letter: Letter<M, S::Answer>,
    ) -> Result<(), Letter<M, S::Answer>>
    where
        S: Takes<M>,
    {
        if !self.slots.accept_reserved() {
            return Err(letter);
        }
        self.push(letter);
        Ok(())
    }

    /// The message was accepted, so it is pushed, and the holder of the turn will see it.
    #[inline]
    fn push<M: Send + 'static>(&self, letter: Letter<M, S::Answer>)
    where
        S: Takes<M>,
    {
        // SAFETY: the letter is in no queue, being owned; the header is valid until it is popped and used up.
        unsafe { self.queue.push(letter.into_header(), kind::<S, M>()) };
        self.turn.notify();
    }

    /// Whether a caller of [`poll_reserve`](Self::poll_reserve) still stands in line.
    #[cfg(debug_assertions)]
    pub(crate) fn still_waits(&self, ticket: Ticket) -> bool {
        self.slots.still_waits(ticket)
    }

    /// Gives a reserved slot back, to the longest waiter if there is one.
    pub(crate) fn release(&self) {
        self.slots.release(&self.outlet);
    }

    /// Gives up waiting, whether or not a slot was promised meanwhile.
    pub(crate) fn leave(&self, ticket: Ticket) {
        self.slots.leave(ticket, &self.outlet);
    }

    // ---- senders that run handlers ----

    /// Whether the actor is idle, just now.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.turn.is_free()
    }

    /// Whether the turn is lent, just now, and nobody has come behind.
    #[inline]
    pub(crate) fn is_lent(&self) -> bool {
        self.turn.is_lent()
    }

    /// Lends the turn to a sender, if the actor is idle. Whatever comes from then on is seen when the turn is
    /// returned; whether anything has come before is for the borrower to see ([`Loan::is_unused`]).
    #[inline]
    pub(crate) fn borrow(&self) -> Option<Loan<'_, S>> {
        // SAFETY: the turn is lent to this caller.
        self.turn.borrow().then(|| Loan(unsafe { Hold::new(self) }))
    }

    /// Whether there is nothing to do, for a task that has let go of the turn: see [`Hold::rest`].
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        let popped = self.outlet.popped();
        let look = self.slots.look();
        // Not the level: who raises it closes the mailbox and then gives notice. Until then there would be nothing
        // to do about it, again and again.
        look.accepted(popped) == popped && !look.is_closed() && !self.is_let_out()
    }

    // ---- control ----

    /// The level now.
    #[inline]
    pub(crate) fn level(&self) -> Level {
        Level::from_u8(self.level.load(Ordering::SeqCst))
    }

    /// Raises the level and closes the mailbox; false if it was there already.
    pub(crate) fn raise(&self, level: Level) -> bool {
        if self.level.fetch_max(level.as_u8(), Ordering::SeqCst) >= level.as_u8() {
            return false;
        }
        let wakers = self
            .slots
            .close(&self.outlet)
            .then(|| self.slots.dissolve(&self.outlet));
        self.turn.interrupt();
        if let Some(wakers) = wakers {
            wakers.wake();
        }
        true
    }

    /// Accepts nothing more: waiting sends and unused permits end with `Closed`.
    #[inline]
    pub(crate) fn close(&self) {
        // Whoever has closed it before has given notice, or is about to.
        if !self.slots.look().is_closed() {
            self.close_now();
        }
    }

    #[cold]
    fn close_now(&self) {
        let wakers = self
            .slots
            .close(&self.outlet)
            .then(|| self.slots.dissolve(&self.outlet));
        self.turn.notify();
        if let Some(wakers) = wakers {
            wakers.wake();
        }
    }

    /// A message ended well. Only what runs says so, for it alone runs.
    #[inline]
    pub(crate) fn settle_ok(&self) {
        self.counters.ok();
    }

    /// Has the task look for something that is neither a message nor a level.
    pub(crate) fn interrupt(&self) {
        self.turn.interrupt();
    }

    /// What runs, or something it has started, wants the incarnation to end: the task is to go on, and not an
    /// borrower.
    pub(crate) fn let_out(&self) {
        self.let_out.store(true, Ordering::SeqCst);
        self.turn.notify();
    }

    /// Whether the incarnation is to end; from now on no more.
    pub(crate) fn take_let_out(&self) -> bool {
        self.is_let_out() && {
            self.let_out.store(false, Ordering::SeqCst);
            true
        }
    }

    /// Whether the incarnation is to end.
    #[inline]
    pub(crate) fn is_let_out(&self) -> bool {
        self.let_out.load(Ordering::SeqCst)
    }

    /// From now on only so many messages leave the queue to be handled.
    #[cfg(feature = "testing")]
    pub(crate) fn let_through(&self, messages: u64) {
        self.gate.set(messages);
    }

    /// Whether none leaves the queue until another call of [`let_through`](Self::let_through).
    #[cfg(feature = "testing")]
    pub(crate) fn lets_none_through(&self) -> bool {
        self.gate.is_shut()
    }

    // ---- counting ----

    /// Records how a message that was running ended.
    pub(crate) fn settle(&self, outcome: Outcome) {
        self.counters.settle(outcome);
    }

    /// Where every message is.
    #[inline]
    pub(crate) fn account(&self) -> Account {
        self.counters.account(&self.slots, &self.outlet).0
    }

    /// What there is. For one who has looked for a message and found none, `Queued` tells that one is on its way.
    #[inline]
    pub(crate) fn look(&self) -> Found {
        let (left, look) = self.outlet.left(&self.slots);
        if look.accepted(left) != left {
            Found::Queued
        } else if look.is_closed() {
            Found::Drained
        } else {
            Found::Nothing
        }
    }

    /// Whether the receiving end was taken away: see [`seize`](Self::seize).
    #[inline]
    pub(crate) fn is_seized(&self) -> bool {
        self.outlet.signs().is_seized()
    }

    /// Whether messages are queued, or about to be.
    pub(crate) fn has_queued(&self) -> bool {
        let (left, look) = self.outlet.left(&self.slots);
        look.accepted(left) != left
    }

    /// The mailbox as it is now.
    pub(crate) fn stats(&self, restarts: u64) -> MailboxStats {
        let (account, look) = self.counters.account(&self.slots, &self.outlet);
        let reserved = if look.is_closed() { 0 } else { look.reserved() };
        // Who has just taken a slot may not have said so yet.
        self.slots.note(account.queued + reserved);
        let (left, now) = self.outlet.left(&self.slots);
        let high_water = self.slots.high_water(now.accepted(left));
        MailboxStats {
            capacity: size(self.slots.capacity()),
            depth: size(account.queued),
            high_water: size(high_water),
            reserved: size(reserved),
            waiting: self.slots.waiting(),
            level: self.level(),
            restarts,
            dropped: self.counters.all_dropped(),
            account,
        }
    }

    // ---- the task ----

    /// Tells the mailbox which task to wake: the same at every call. False if it knows.
    ///
    /// # Panics
    /// If the tenancy is another mailbox's.
    #[inline]
    pub(crate) fn introduce(&self, tenancy: &mut Tenancy, waker: &Waker) -> bool {
        assert_eq!(self.id, tenancy.0, "a tenancy is for its own mailbox");
        // SAFETY: there is one tenancy, and it is borrowed mutably.
        unsafe { self.turn.introduce(waker) }
    }

    /// The task's turn, if no borrower has it, who would wake the task when it is done. The task keeps it when the
    /// hold is dropped, until [`Hold::rest`].
    ///
    /// # Panics
    /// If the tenancy is another mailbox's.
    #[inline]
    pub(crate) fn enter<'a>(&'a self, tenancy: &'a mut Tenancy) -> Option<Hold<'a, S>> {
        assert_eq!(self.id, tenancy.0, "a tenancy is for its own mailbox");
        // SAFETY: the turn is the task's, and the tenancy stays borrowed as long as the hold lives.
        self.turn.take().then(|| unsafe { Hold::new(self) })
    }

    /// Takes the oldest message out of the queue, unless the queue was seized.
    ///
    /// # Safety
    /// The caller has the turn, and a message was accepted that has not left the queue.
    #[inline]
    pub(super) unsafe fn take_first(&self, alone: Option<Alone<'_>>) -> Option<Envelope<S>> {
        // Announced before the signs are looked at; `seize` changes them, and looks for an announcement after. So
        // either this sees that the queue was seized, or the thief waits for this to be done.
        let signs = self.outlet.take();
        if !signs.are_none() {
            // SAFETY: the contract is the same.
            return unsafe { self.take_specially(signs, alone) };
        }
        // SAFETY: this is the one receiver, and by the contract there is something to come.
        let header = unsafe { self.queue.pop_accepted() };
        self.outlet.taken();
        // SAFETY: popped from this mailbox's queue.
        Some(unsafe { Envelope::new(header) })
    }

    /// The second half of [`take_first`](Self::take_first), if somebody waits for the slot, the queue was seized,
    /// or senders may reach into it as well.
    ///
    /// # Safety
    /// As there.
    #[cold]
    unsafe fn take_specially(&self, signs: Signs, alone: Option<Alone<'_>>) -> Option<Envelope<S>> {
        if signs.is_seized() {
            self.outlet.undo_take();
            return None;
        }
        let alone = alone.or_else(|| signs.evicts().then(|| self.slots.alone()));
        // SAFETY: this is the one receiver; and senders that evict put one message in the place of another, so by the
        // contract there is something to come.
        let header = unsafe { self.queue.pop_accepted() };
        drop(alone);
        // Before anybody is woken.
        self.outlet.taken();
        if signs.is_waited_for() {
            self.slots.grant(&self.outlet);
        }
        // SAFETY: popped from this mailbox's queue.
        Some(unsafe { Envelope::new(header) })
    }

    /// Takes the receiving end away from an actor whose handler never yields, so that somebody can give back what
    /// is queued. Once, after the mailbox was closed; whoever has the turn finds the queue empty from then on.
    pub(crate) fn seize(&self) -> Option<Seizure<'_, S>> {
        if !self.slots.look().is_closed() || self.outlet.sign(Signs::SEIZED).is_seized() {
            return None;
        }
        fence(Ordering::SeqCst);
        let mut looks = 0;
        // The receiver may be in the middle of taking a message, which is a few instructions.
        while self.outlet.is_reaching_in() {
            relax(&mut looks);
        }
        Some(Seizure(self))
    }

    /// The task goes away for good. Its hold is for ending the actor; `None` if a borrower has the turn, who will
    /// find that it is to end the actor.
    ///
    /// # Panics
    /// As [`enter`](Self::enter).
    #[expect(clippy::needless_pass_by_value)] // used up: nobody is the task afterwards
    pub(crate) fn resign(&self, tenancy: Tenancy) -> Option<Hold<'_, S>> {
        assert_eq!(self.id, tenancy.0, "a tenancy is for its own mailbox");
        // SAFETY: the turn is the task's, and nobody will ever take it again: the tenancy is used up.
        self.turn.resign().then(|| unsafe { Hold::new(self) })
    }
}

/// A number of slots, of which there are fewer than 2^27.
fn size(slots: u64) -> usize {
    usize::try_from(slots).unwrap_or(usize::MAX)
}

impl<S: 'static> fmt::Debug for Mailbox<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<S: 'static> Drop for Mailbox<S> {
    fn drop(&mut self) {
        // Whoever ended the actor has given everything back; this is for a mailbox that never had one.
        // SAFETY: nobody else has the mailbox any more.
        while let Some(header) = unsafe { self.queue.pop() } {
            // SAFETY: popped from this mailbox's queue.
            drop(unsafe { Envelope::<S>::new(header) });
        }
    }
}

/// What the receiver finds where no message is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// A message is queued all the same: its sender is on the way in, or the queue was seized.
    Queued,
    /// Nothing is queued, and nothing will be.
    Drained,
}
