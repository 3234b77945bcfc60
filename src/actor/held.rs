//! What keeps an actor from draining: handles, recipients, permits, pending sends and registries.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// How many hold an actor. None can follow the last.
#[derive(Default)]
pub(crate) struct Holders(AtomicUsize);

/// Something that drains when nobody holds it any more.
pub(crate) trait Holdable {
    fn holders(&self) -> &Holders;
    /// The last that held it is gone.
    fn abandoned(&self);
}

/// A reference that holds its actor.
pub(crate) struct Held<T: Holdable + ?Sized>(Arc<T>);

impl Holders {
    /// Whether one holds it, just now.
    pub(super) fn is_one(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 1
    }

    fn add(&self) {
        // As for the count of an `Arc`: whoever adds one has one, which orders it before the end. It cannot
        // overflow, since each holder is counted by the `Arc` as well.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn add_unless_none(&self) -> bool {
        self.0
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |holders| {
                (holders > 0).then(|| holders + 1)
            })
            .is_ok()
    }

    /// Whether it was the last.
    fn remove(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl<T: Holdable + ?Sized> Held<T> {
    /// The first of a new actor, which nobody else has yet.
    pub(super) fn first(actor: Arc<T>) -> Self {
        actor.holders().0.store(1, Ordering::Relaxed);
        Self(actor)
    }

    /// Holds what is referred to, unless nobody does any more.
    pub(super) fn from_weak(weak: &Weak<T>) -> Option<Self> {
        let actor = weak.upgrade()?;
        actor.holders().add_unless_none().then(|| Self(actor))
    }

    pub(super) fn downgrade(&self) -> Weak<T> {
        Arc::downgrade(&self.0)
    }

    /// A reference that does not hold it.
    pub(super) fn shared(&self) -> &Arc<T> {
        &self.0
    }

    /// Another that holds the same, seen as something else.
    pub(super) fn as_other<U: Holdable + ?Sized>(
        &self,
        see: impl FnOnce(Arc<T>) -> Arc<U>,
    ) -> Held<U> {
        self.0.holders().add();
        Held(see(Arc::clone(&self.0)))
    }
}

impl<T: Holdable + ?Sized> Clone for Held<T> {
    fn clone(&self) -> Self {
        self.as_other(|actor| actor)
    }
}

impl<T: Holdable + ?Sized> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Holdable + ?Sized> Drop for Held<T> {
    fn drop(&mut self) {
        if self.0.holders().remove() {
            self.0.abandoned();
        }
    }
}
