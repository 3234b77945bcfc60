//! The one place from which this layer takes atomics, cells, locks and allocation.
//!
//! In `tests/loom`, built with `--cfg postroom_loom`, they are loom's, which tries every interleaving and watches every access.

#[cfg(not(postroom_loom))]
mod real {
    pub(crate) use super::lock as lock_own;
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence,
    };
    pub(crate) use std::sync::{Mutex, MutexGuard as Guard};

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

    /// Allocated when it is first needed.
    #[derive(Debug, Default)]
    pub(crate) struct Late<T>(std::sync::OnceLock<Box<T>>);

    impl<T: Default> Late<T> {
        pub(crate) fn get(&self) -> Option<&T> {
            self.0.get().map(|boxed| &**boxed)
        }

        pub(crate) fn make(&self) -> &T {
            self.0.get_or_init(Box::default)
        }
    }

    /// In an allocation: loom's tells of one that is never freed.
    #[derive(Debug)]
    pub(crate) struct Track<T>(std::marker::PhantomData<T>);

    impl<T: Copy> Track<T> {
        pub(crate) const fn new(_: T) -> Self {
            Self(std::marker::PhantomData)
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
    pub(crate) use loom::alloc::Track;
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, Ordering, fence};
    pub(crate) use loom::sync::{Mutex, MutexGuard as Guard};

    /// There from the beginning, for loom does not see what orders its making and its use.
    #[derive(Debug, Default)]
    pub(crate) struct Late<T>(Box<T>);

    impl<T> Late<T> {
        pub(crate) fn get(&self) -> Option<&T> {
            Some(&self.0)
        }

        pub(crate) fn make(&self) -> &T {
            &self.0
        }
    }

    loom::thread_local! {
        /// Whether this thread has made a sequentially consistent change since it last had a look of that kind.
        static ORDERED: std::cell::Cell<bool> = std::cell::Cell::new(false);
    }

    /// Loom takes a sequentially consistent access for an acquiring and releasing one, and then finds runs that
    /// cannot be. What this layer needs of that order is that a change comes before the look that follows it, which
    /// a fence gives, and that loom knows. A change or a look of a weaker order gets none.
    fn changed(order: Ordering) {
        if order == Ordering::SeqCst {
            ORDERED.with(|ordered| ordered.set(true));
        }
    }

    fn looks(order: Ordering) {
        if order == Ordering::SeqCst && ORDERED.with(|ordered| ordered.replace(false)) {
            fence(Ordering::SeqCst);
        }
    }

    macro_rules! sequential {
        ($($name:ident: $value:ty),*) => {$(
            #[derive(Debug, Default)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            #[allow(dead_code)] // each has all of them
            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, order: Ordering) -> $value {
                    looks(order);
                    self.0.load(order)
                }

                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    self.0.store(value, order);
                    changed(order);
                }

                pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                    let before = self.0.swap(value, order);
                    changed(order);
                    before
                }

                pub(crate) fn compare_exchange(
                    &self,
                    from: $value,
                    to: $value,
                    order: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    let result = self.0.compare_exchange(from, to, order, failure);
                    changed(order);
                    result
                }

                pub(crate) fn compare_exchange_weak(
                    &self,
                    from: $value,
                    to: $value,
                    order: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.compare_exchange(from, to, order, failure)
                }
            }
        )*};
    }

    sequential!(AtomicBool: bool, AtomicU8: u8, AtomicU16: u16, AtomicU64: u64);

    macro_rules! counting {
        ($($name:ident: $value:ty: $($method:ident)*),*) => {$(
            impl $name {$(
                pub(crate) fn $method(&self, value: $value, order: Ordering) -> $value {
                    let before = self.0.$method(value, order);
                    changed(order);
                    before
                }
            )*}
        )*};
    }

    counting!(AtomicU8: u8: fetch_and fetch_max fetch_or, AtomicU64: u64: fetch_add fetch_sub fetch_and fetch_or);

    pub(crate) fn relax(_: &mut u32) {
        loom::thread::yield_now();
    }

    pub(crate) fn lock_own<T>(mutex: &Mutex<T>) -> loom::sync::MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(super::PoisonError::into_inner)
    }
}

pub(crate) use real::*;
use std::sync::{MutexGuard, PoisonError};

/// Locks a mutex whether or not a thread panicked while holding it: no user code ever runs under the
/// locks of this crate, so what they protect is whole even then.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
