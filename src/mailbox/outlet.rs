//! The receiving end: how many messages have left the queue, and what the receiver has to know when it takes one.
//!
//! The receiver counts, and then looks at the [`Signs`]. Whoever gives a sign then looks at the count. Both are
//! sequentially consistent, so one of the two sees the other:
//!
//! - a sender that is about to stand in line finds the slot that the receiver has just left, or is given it;
//! - a thief that seizes the queue sees that the receiver reaches into it, and waits for that to be done, or the receiver
//!   sees that the queue is seized.
//!
//! The signs are here and not in the word that senders write, which the receiver would have to wait for at each
//! message while they run on another core.

use super::slots::{Look, Slots};
use super::sync::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    /// How many messages have been taken from the queue, or are being taken. It only rises, but for one that is not
    /// taken after all because the queue is seized.
    popped: AtomicU64,
    /// How many messages are out of the queue: one less than `popped` while one is being taken. Once the queue is
    /// seized it alone counts, and is written by the thief: the holder of the turn may still announce in
    /// `popped`, and take it back.
    out: AtomicU64,
    /// Whether the receiver looks at what is in the queue.
    peeking: AtomicBool,
    signs: AtomicU8,
}

/// What concerns the receiver when it takes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signs(u8);

impl Signs {
    /// Someone stands in line. Changes under the line's lock alone.
    pub(super) const WAITED_FOR: Self = Self(1);
    /// The receiving end is taken away from an actor whose handler never yields. Never cleared.
    pub(super) const SEIZED: Self = Self(1 << 1);
    /// Senders may push the oldest message out of a full mailbox: set from the beginning. They, and the receiver while
    /// it takes a message, then hold the line's lock, and so does whoever closes.
    pub(super) const EVICTS: Self = Self(1 << 2);

    /// Whether taking a message is no more than counting and popping.
    pub(super) const fn are_none(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn is_waited_for(self) -> bool {
        self.0 & Self::WAITED_FOR.0 != 0
    }

    pub(super) const fn is_seized(self) -> bool {
        self.0 & Self::SEIZED.0 != 0
    }

    pub(super) const fn evicts(self) -> bool {
        self.0 & Self::EVICTS.0 != 0
    }
}

impl Outlet {
    /// As after so many messages.
    #[cfg(all(test, not(postroom_loom)))]
    pub(super) fn after(messages: u64) -> Self {
        Self {
            popped: AtomicU64::new(messages),
            out: AtomicU64::new(messages),
            ..Self::default()
        }
    }

    // ---- the receiver ----

    /// The receiver is about to take a message. From now on it counts as running, and its slot is free. What the
    /// receiver has to know about that.
    #[inline]
    pub(super) fn take(&self) -> Signs {
        let popped = self.popped.load(Ordering::Relaxed) + 1;
        // Instead of a store and a fence, which would be slower: nobody else writes.
        self.popped.swap(popped, Ordering::SeqCst);
        self.signs()
    }

    /// The receiver does not take the message after all.
    #[cold]
    pub(super) fn undo_take(&self) {
        let out = self.out.load(Ordering::Relaxed);
        self.popped.store(out, Ordering::Release);
    }

    /// The message is out of the queue. Said by the receiver, and of a queue that was seized by the thief.
    #[inline]
    pub(super) fn taken(&self) {
        let out = self.out.load(Ordering::Relaxed);
        self.out.store(out + 1, Ordering::Release);
    }

    /// The receiver is about to look into the queue, or has done so.
    pub(super) fn peek(&self, begins: bool) {
        self.peeking.store(begins, Ordering::Release);
    }

    // ---- everybody ----

    /// How many messages the receiver has taken, or is about to take.
    #[inline]
    pub(super) fn popped(&self) -> u64 {
        self.popped.load(Ordering::SeqCst)
    }

    /// How many messages have left the queue, and a look that was taken after.
    #[inline]
    pub(super) fn left(&self, slots: &Slots) -> (u64, Look) {
        let popped = self.popped();
        let look = slots.look();
        if self.signs().is_seized() {
            // It was closed before: what was accepted does not change any more.
            return (self.out.load(Ordering::Acquire), slots.look());
        }
        (popped, look)
    }

    /// Whether the receiver is about to look or reach into the queue.
    pub(super) fn is_reaching_in(&self) -> bool {
        self.out.load(Ordering::SeqCst) != self.popped() || self.peeking.load(Ordering::SeqCst)
    }

    #[inline]
    pub(super) fn signs(&self) -> Signs {
        Signs(self.signs.load(Ordering::SeqCst))
    }

    /// Gives signs. What there was before.
    pub(super) fn sign(&self, signs: Signs) -> Signs {
        Signs(self.signs.fetch_or(signs.0, Ordering::SeqCst))
    }

    /// Nobody stands in line any more.
    pub(super) fn end_line(&self) {
        self.signs.fetch_and(!Signs::WAITED_FOR.0, Ordering::SeqCst);
    }
}
