//! The one place from which this layer takes atomics, cells, locks and allocation.
//!
//! Built with `--cfg postroom_loom` they are loom's, which tries every interleaving and watches every access.

#[cfg(not(postroom_loom))]
mod real {
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering, fence,
    };
    pub(crate) use std::sync::{Mutex, MutexGuard};

    /// `std`'s cell with the interface of loom's.
    #[derive(Debug, Default)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
            look(self.0.get())
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
            change(self.0.get())
        }
    }

    /// Waits for a thread that is in the middle of a few instructions; called again and again.
    pub(crate) fn relax(looks: &mut u32) {
        if *looks < 64 {
            *looks += 1;
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

#[cfg(postroom_loom)]
mod real {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering, fence,
    };
    pub(crate) use loom::sync::{Mutex, MutexGuard};

    pub(crate) fn relax(_: &mut u32) {
        loom::thread::yield_now();
    }
}

pub(crate) use real::*;
use std::sync::PoisonError;

/// Locks a mutex whether or not a thread panicked while holding it: no user code ever runs under the
/// locks of this crate, so what they protect is whole even then.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
