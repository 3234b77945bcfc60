//! What actors and messages are called.
//!
//! Programs start many actors of one type, and naming each is a noticeable part of starting it; so each thread keeps
//! what it found last.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::Arc;

thread_local! {
    /// A type's name and its last segment.
    static SHORT: Cell<(&'static str, &'static str)> = const { Cell::new(("", "")) };
    static SHARED: RefCell<Option<(&'static str, Arc<str>)>> = const { RefCell::new(None) };
}

/// The last segment of a type's name, without its generic arguments.
pub(crate) fn short_type_name<T: ?Sized>() -> &'static str {
    let name = std::any::type_name::<T>();
    let (last, short) = SHORT.get();
    if ptr::eq(last, name) {
        return short;
    }
    // By characters, for which searching is a simple scan.
    let plain = name.find('<').map_or(name, |end| &name[..end]);
    let short = plain.rfind(':').map_or(plain, |colon| &plain[colon + 1..]);
    SHORT.set((name, short));
    short
}

/// A name to be shared.
pub(super) fn shared(name: &'static str) -> Arc<str> {
    // A thread at its end keeps nothing.
    let kept = SHARED.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        match &*kept {
            Some((last, shared)) if ptr::eq(*last, name) => Arc::clone(shared),
            _ => {
                let shared = Arc::from(name);
                *kept = Some((name, Arc::clone(&shared)));
                shared
            }
        }
    });
    kept.unwrap_or_else(|_| Arc::from(name))
}
