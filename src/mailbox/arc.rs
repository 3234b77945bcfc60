//! An `Arc` that is allocated before its content is made.

use std::sync::Arc;

/// Allocates, then has the content made, and returns it with what else was made.
///
/// With `Arc::new` the content is complete in the caller's frame before there is a place for it, and must be dropped there
/// if the allocation fails. So it is written in small pieces, and then copied by wide loads, for which the processor cannot
/// forward what is still in its store buffer: each waits until the pieces are in the cache. In this order the compiler
/// writes most pieces where they belong.
#[inline]
pub(crate) fn arc<T, X>(make: impl FnOnce() -> (T, X)) -> (Arc<T>, X) {
    let place = Arc::<T>::new_uninit();
    let (content, other) = make();
    // SAFETY: nobody else has the place, which is for a `T`, and no reference to it was made. `as_ptr` returns the
    // allocation's own pointer, by which `Arc` itself reaches and drops the content, so it may be written by it. With this
    // the content is there.
    unsafe {
        Arc::as_ptr(&place).cast_mut().cast::<T>().write(content);
        (place.assume_init(), other)
    }
}
