//! Lets only so many messages out of a queue: for tests that step an actor.

use super::sync::{AtomicU64, Ordering};

#[derive(Debug)]
pub(super) struct Gate(AtomicU64);

const OPEN: u64 = u64::MAX;

impl Gate {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(OPEN))
    }

    /// From now on only so many.
    pub(super) fn set(&self, messages: u64) {
        self.0.store(messages, Ordering::Relaxed);
    }

    pub(super) fn is_shut(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Whether one more goes through. Only the holder of the turn asks.
    #[inline]
    pub(super) fn lets_through(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            OPEN => true,
            0 => false,
            more => {
                self.0.store(more - 1, Ordering::Relaxed);
                true
            }
        }
    }
}
