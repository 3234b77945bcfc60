//! An `Arc` whose content is made in its place.

use std::sync::Arc;

/// Allocates, then has the content made, and returns it with what else was made.
///
/// With `Arc::new` the content exists before its place does, and is copied: large content, just written in small pieces,
/// which the copy has to wait for.
#[inline]
pub(crate) fn arc<T, X>(make: impl FnOnce() -> (T, X)) -> (Arc<T>, X) {
    let place = Arc::<T>::new_uninit();
    let (content, other) = make();
    // SAFETY: nobody else has the place, which is for a `T`; and with this the content is there.
    unsafe {
        Arc::as_ptr(&place).cast_mut().cast::<T>().write(content);
        (place.assume_init(), other)
    }
}
