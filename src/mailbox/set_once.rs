//! A value that is set once: a `OnceLock` without waiting, which costs a few instructions to make and to set instead of
//! a hundred.

use super::sync::{AtomicU8, Ordering, UnsafeCell};
use std::fmt;

const EMPTY: u8 = 0;
/// One caller writes the value.
const BEING_SET: u8 = 1;
const SET: u8 = 2;

/// Empty, and then for ever the same.
pub(crate) struct SetOnce<T> {
    state: AtomicU8,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is written by the one caller that has changed `EMPTY` to `BEING_SET`, and is read only after `SET`
// was stored with release and loaded with acquire. From then on it is only shared (`T: Sync`); and whoever drops it
// may be another thread than the one that has set it (`T: Send`).
unsafe impl<T: Send + Sync> Sync for SetOnce<T> {}

impl<T> SetOnce<T> {
    /// Set from the beginning, if there is a value.
    #[inline]
    pub(crate) fn new(value: Option<T>) -> Self {
        Self {
            state: AtomicU8::new(if value.is_some() { SET } else { EMPTY }),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, once it is set.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        if self.state.load(Ordering::Acquire) != SET {
            return None;
        }
        // SAFETY: set, so it is there, and nobody writes it any more.
        Some(
            self.value
                .with(|value| unsafe { (*value).as_ref().unwrap_unchecked() }),
        )
    }

    /// Sets it. The value comes back if it is set, or another caller is just setting it.
    #[inline]
    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let first =
            self.state
                .compare_exchange(EMPTY, BEING_SET, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_err() {
            return Err(value);
        }
        // SAFETY: this caller alone has changed `EMPTY` to `BEING_SET`, and until `SET` is stored nobody reads. Nothing
        // is overwritten that would have to be dropped.
        self.value.with_mut(|own| unsafe { *own = Some(value) });
        self.state.store(SET, Ordering::Release);
        Ok(())
    }
}

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        Self::new(None)
    }
}

impl<T: fmt::Debug> fmt::Debug for SetOnce<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SetOnce").field(&self.get()).finish()
    }
}
