//! The turn in somebody's hands, and what only its holder may do: reach the seat and take messages.

use super::cell::Letter;
use super::envelope::{Envelope, Takes, is_kind};
use super::mailbox::{Found, Mailbox};
use super::seat::Seated;
use super::sync::{Ordering, fence};
use super::turn::Returned;
use std::marker::PhantomData;

/// The turn: whoever has it reaches the seat and the receiving end of the queue.
pub(crate) struct Hold<'a, S: 'static> {
    mailbox: &'a Mailbox<S>,
    // No reference into the seat: this value is on its way out of a function when another thread has the turn.
    alone: PhantomData<&'a mut S>,
}

impl<'a, S: Send + 'static> Hold<'a, S> {
    /// # Safety
    /// The caller has the turn, and makes no other hold while this one lives.
    #[inline]
    pub(super) const unsafe fn new(mailbox: &'a Mailbox<S>) -> Self {
        Self {
            mailbox,
            alone: PhantomData,
        }
    }

    /// The mailbox.
    #[inline]
    pub(crate) const fn mailbox(&self) -> &'a Mailbox<S> {
        self.mailbox
    }

    /// The seat.
    #[inline]
    pub(crate) fn seat(&mut self) -> Seated<'_, S> {
        // SAFETY: this has the turn, and is borrowed as long as what is returned lives.
        unsafe { self.mailbox.seat.take() }
    }

    /// A number for whoever has the turn, 0 at first. It is kept with what is written for each message anyway.
    #[inline]
    pub(crate) fn tally(&self) -> u16 {
        self.mailbox.tally.load(Ordering::Relaxed)
    }

    /// See [`tally`](Self::tally).
    #[inline]
    pub(crate) fn set_tally(&mut self, tally: u16) {
        self.mailbox.tally.store(tally, Ordering::Relaxed);
    }

    /// A message is handled that never was queued. It counts as running until it is settled.
    #[inline]
    pub(crate) fn begin(&self) {
        self.mailbox.counters.begin_in_place();
    }

    /// The oldest message. `None` if there is none, or its sender is still on the way in
    /// ([`Mailbox::has_queued`] tells which).
    #[inline]
    pub(crate) fn first(&mut self) -> Option<First<'_, S>> {
        self.mailbox
            .queue
            .has_first()
            .then_some(First(self.mailbox, PhantomData))
    }

    /// Takes the oldest message if it is of this type.
    pub(crate) fn pop_same<M: Send + 'static>(&mut self) -> Option<Letter<M, S::Answer>>
    where
        S: Takes<M>,
    {
        let Mailbox {
            queue,
            outlet,
            slots,
            ..
        } = self.mailbox;
        // What is looked at is not to be evicted.
        let alone = outlet.signs().evicts().then(|| slots.alone());
        outlet.peek(true);
        // Before looking whether the queue was seized, as `seize` looks for the announcement after seizing.
        fence(Ordering::SeqCst);
        let same = !outlet.signs().is_seized() && {
            // SAFETY: the holder of the turn is the one receiver, nobody has seized the queue, and whoever does
            // now waits until this is done.
            unsafe { queue.peek().is_some_and(|kind| is_kind::<S, M>(kind)) }
        };
        outlet.peek(false);
        if !same {
            return None;
        }
        // SAFETY: a message is there.
        let envelope = unsafe { self.mailbox.take_first(alone) }?;
        // SAFETY: it is of the kind for messages of type `M`, which only letters of this type get.
        Some(unsafe { Letter::from_header(envelope.into_header()) })
    }

    /// The seat, for as long as this has the turn.
    #[cfg(feature = "testing")]
    pub(crate) fn into_seat(self) -> Seated<'a, S> {
        // SAFETY: whoever gave this away did so for `'a`, and it is used up.
        unsafe { self.mailbox.seat.take() }
    }

    /// The types of the messages that are queued, oldest first.
    #[cfg(feature = "testing")]
    pub(crate) fn queued(&mut self) -> Vec<&'static str> {
        let Mailbox {
            queue,
            outlet,
            slots,
            ..
        } = self.mailbox;
        let mut names = Vec::new();
        // As in `pop_same`.
        let alone = outlet.signs().evicts().then(|| slots.alone());
        outlet.peek(true);
        fence(Ordering::SeqCst);
        if !outlet.signs().is_seized() {
            // SAFETY: as in `pop_same`.
            unsafe { queue.each(|kind| names.push(super::envelope::name_of::<S>(kind))) };
        }
        outlet.peek(false);
        drop(alone);
        names
    }

    /// Takes the oldest message for giving it back, waiting for a sender that is on the way in. Only after the
    /// mailbox was closed, or there might always be another.
    pub(crate) fn pop_last(&mut self) -> Option<Envelope<S>> {
        if !self.mailbox.has_queued() {
            return None;
        }
        // SAFETY: a message was accepted that has not left the queue.
        unsafe { self.mailbox.take_first(None) }
    }

    /// What there is, when no message was there.
    #[inline]
    pub(crate) fn look(&self) -> Found {
        self.mailbox.look()
    }

    /// For the task: lets go of the turn until there is something to do, of which the task will be woken. If
    /// there is something to do already, the hold comes back as from [`Mailbox::enter`]: a borrower may have had the
    /// turn meanwhile, so something may run.
    #[inline]
    pub(crate) fn rest(self) -> Result<(), Self> {
        let mailbox = self.mailbox;
        mailbox.turn.free();
        // After this either is true, or another has the turn, and will see to it that the task is woken.
        if mailbox.is_quiet() || !mailbox.turn.take() {
            return Ok(());
        }
        Err(self)
    }

    /// The same for a mailbox that nobody else has yet: there is nothing to do.
    #[inline]
    pub(crate) fn rest_unshared(self) {
        self.mailbox.turn.free_unshared();
    }
}

/// A message that is there, the oldest. Nobody else takes it without putting another in its place, but for a thief.
pub(crate) struct First<'a, S: 'static>(&'a Mailbox<S>, PhantomData<&'a mut S>);

impl<S: Send + 'static> First<'_, S> {
    /// Takes it, which frees its slot. It counts as running until it is settled. `None` if the queue was seized.
    #[inline]
    pub(crate) fn pop(self) -> Option<Envelope<S>> {
        #[cfg(feature = "testing")]
        if !self.0.gate.lets_through() {
            return None;
        }
        // SAFETY: a message is there, and whoever has made this has the turn, which is borrowed.
        unsafe { self.0.take_first(None) }
    }
}

/// The receiving end of a queue that was taken away from its actor.
pub(crate) struct Seizure<'a, S: 'static>(pub(super) &'a Mailbox<S>);

impl<S: Send + 'static> Seizure<'_, S> {
    /// The oldest message.
    pub(crate) fn pop(&mut self) -> Option<Envelope<S>> {
        let mailbox = self.0;
        if !mailbox.has_queued() {
            return None;
        }
        // SAFETY: whoever has the turn sees that the queue is seized before it reaches into it, so this is the one
        // receiver; and a message was accepted that has not left the queue.
        let header = unsafe { mailbox.queue.pop_accepted() };
        mailbox.outlet.taken();
        // SAFETY: popped from this mailbox's queue.
        Some(unsafe { Envelope::new(header) })
    }
}

/// The turn, lent to a sender, who returns it by one of its methods.
#[must_use = "the actor does nothing more until the turn is returned"]
pub(crate) struct Loan<'a, S: 'static>(pub(super) Hold<'a, S>);

impl<'a, S: Send + 'static> Loan<'a, S> {
    /// The turn.
    #[inline]
    pub(crate) const fn hold(&mut self) -> &mut Hold<'a, S> {
        &mut self.0
    }

    /// The seat.
    #[inline]
    pub(crate) fn seat(&mut self) -> Seated<'_, S> {
        self.0.seat()
    }

    /// Whether nothing is queued, nobody waits for room or has been given some, and nothing is asked of the actor.
    #[inline]
    pub(crate) fn is_unused(&self) -> bool {
        let mailbox = self.0.mailbox;
        mailbox.slots.look().is_unused(mailbox.outlet.popped()) && !mailbox.is_let_out()
    }

    /// See [`Hold::begin`].
    #[inline]
    pub(crate) fn begin(&self) {
        self.0.begin();
    }

    /// The actor is idle again. `Some` if its task has gone meanwhile: the caller then ends the actor.
    #[inline]
    pub(crate) fn hand_back(self) -> Option<Hold<'a, S>> {
        let returned = self.0.mailbox.turn.hand_back();
        self.returned(returned)
    }

    /// The task is to go on. `Some` if it has gone meanwhile: the caller then ends the actor.
    pub(crate) fn hand_over(self) -> Option<Hold<'a, S>> {
        let returned = self.0.mailbox.turn.hand_over();
        self.returned(returned)
    }

    #[inline]
    fn returned(self, returned: Returned) -> Option<Hold<'a, S>> {
        match returned {
            Returned::Back => None,
            Returned::Orphaned => Some(self.0),
        }
    }
}
