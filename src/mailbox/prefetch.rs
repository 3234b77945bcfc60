//! Has the processor fetch what is needed soon.

/// A cell that its receiver reaches next was written by a sender, mostly on another core, and takes as long to come as
/// some handlers take to run. So it is asked for while the message before it is handled. Null does no harm.
#[inline]
pub(super) fn prefetch<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // A cell that is not aligned to lines of the cache takes two.
        for line in [0, 64] {
            // SAFETY: the instruction is a hint: it accesses nothing and never faults, whatever the address is.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast::<i8>().wrapping_add(line)) };
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}
