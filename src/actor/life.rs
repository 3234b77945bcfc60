//! The milestones of an actor's life, and who waits for them.
//!
//! Most actors are waited for by nobody, or by one. So whoever passes a milestone only looks whether anybody listens,
//! and the first listener needs no memory besides the actor's.
//!
//! A listener first says that it listens and then looks at the milestones; who passes one first says so and then looks
//! for listeners. A sequentially consistent fence is between the two steps of a listener. Those of the other are both
//! sequentially consistent, or have such a fence between them as well. So one of them sees the other.

use super::exit::Exit;
use crate::mailbox::{SetOnce, lock, wake};
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering, fence};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// The milestones of an actor's life, to be waited for.
#[derive(Default)]
pub(crate) struct Life {
    ready: AtomicBool,
    /// Whether there may be listeners.
    is_listened_to: AtomicBool,
    /// How often all listeners were woken and forgotten. Changes under their lock alone.
    round: AtomicU8,
    exit: SetOnce<Arc<Exit>>,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    first: Option<Waker>,
    others: Option<Box<Others>>,
}

#[derive(Default)]
struct Others {
    wakers: BTreeMap<u64, Option<Waker>>,
    next: u64,
}

/// Where a listener is in the list: good for the round in which it was given.
struct Place {
    round: u8,
    /// `None`: the first.
    other: Option<u64>,
}

impl Life {
    pub(super) fn set_ready(&self) {
        if !self.is_ready() && !self.ready.swap(true, Ordering::SeqCst) {
            self.announce();
        }
    }

    /// The same for an actor that nobody else has yet.
    #[inline]
    pub(super) fn set_ready_unshared(&self) {
        self.ready.store(true, Ordering::Release);
    }

    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(super) fn set_exit(&self, exit: Arc<Exit>) {
        if self.exit.set(exit).is_ok() {
            // It was set with release alone.
            fence(Ordering::SeqCst);
            self.announce();
        }
    }

    #[inline]
    pub(crate) fn exit(&self) -> Option<&Arc<Exit>> {
        self.exit.get()
    }

    /// Has whoever waits look again. Called after what has changed was made visible, by a write that is sequentially
    /// consistent or before a fence that is.
    #[inline]
    pub(super) fn announce(&self) {
        if self.is_listened_to.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    fn wake(&self) {
        let (first, others) = {
            let mut listeners = lock(&self.listeners);
            self.is_listened_to.store(false, Ordering::Relaxed);
            // A round is a change of the level, the first start or the end: there are not 256.
            let round = self.round.load(Ordering::Relaxed);
            self.round.store(round + 1, Ordering::Relaxed);
            (listeners.first.take(), listeners.others.take())
        };
        if let Some(first) = first {
            wake(first);
        }
        if let Some(others) = others {
            others.wake();
        }
    }

    /// From now on the task of this context is woken when a milestone is passed.
    fn listen(&self, place: &mut Option<Place>, cx: &Context<'_>) {
        // Not under the lock: it may be the code of whoever made the waker.
        let waker = cx.waker().clone();
        let replaced = {
            let mut listeners = lock(&self.listeners);
            let round = self.round.load(Ordering::Relaxed);
            let other = match place {
                Some(place) if place.round == round => place.other,
                _ => listeners.place(),
            };
            let replaced = listeners.at(other).replace(waker);
            *place = Some(Place { round, other });
            self.is_listened_to.store(true, Ordering::Relaxed);
            replaced
        };
        fence(Ordering::SeqCst);
        // Nor this: it may be the last to hold a task.
        drop(replaced);
    }

    /// Listens no more.
    #[inline]
    fn forget(&self, place: &Place) {
        // A round that is over does not come back.
        if self.is_in_round(place) {
            self.remove(place);
        }
    }

    fn remove(&self, place: &Place) {
        let waker = {
            let mut listeners = lock(&self.listeners);
            if !self.is_in_round(place) {
                return;
            }
            listeners.remove(place.other)
        };
        drop(waker);
    }

    fn is_in_round(&self, place: &Place) -> bool {
        self.round.load(Ordering::Relaxed) == place.round
    }

    pub(crate) fn ended(&self) -> impl Future<Output = Arc<Exit>> + Send + '_ {
        wait_for(self, |life| life.exit().cloned())
    }

    pub(crate) fn started(&self) -> impl Future<Output = Result<(), Arc<Exit>>> + Send + '_ {
        wait_for(self, |life| match life.exit() {
            _ if life.is_ready() => Some(Ok(())),
            Some(exit) => Some(Err(Arc::clone(exit))),
            None => None,
        })
    }
}

impl Others {
    #[cold]
    fn wake(self) {
        self.wakers.into_values().flatten().for_each(wake);
    }
}

impl Listeners {
    /// A place that nobody has.
    fn place(&mut self) -> Option<u64> {
        self.first.as_ref()?;
        let others = self.others.get_or_insert_default();
        others.next += 1;
        Some(others.next)
    }

    fn at(&mut self, other: Option<u64>) -> &mut Option<Waker> {
        match other {
            None => &mut self.first,
            Some(other) => {
                let others = self.others.get_or_insert_default();
                others.wakers.entry(other).or_default()
            }
        }
    }

    fn remove(&mut self, other: Option<u64>) -> Option<Waker> {
        match other {
            None => self.first.take(),
            Some(other) => self.others.as_mut()?.wakers.remove(&other).flatten(),
        }
    }
}

/// Waits until `look` finds something. It is asked again after every milestone, and whenever the future is polled.
pub(super) fn wait_for<L, F, T>(life: L, look: F) -> WaitFor<L, F>
where
    L: Deref<Target = Life>,
    F: FnMut(&L) -> Option<T>,
{
    WaitFor {
        life,
        look,
        place: None,
    }
}

/// The future of [`wait_for`].
pub(super) struct WaitFor<L: Deref<Target = Life>, F> {
    life: L,
    look: F,
    /// Set while it listens.
    place: Option<Place>,
}

// Nothing is pinned inside.
impl<L: Deref<Target = Life>, F> Unpin for WaitFor<L, F> {}

impl<L, F, T> Future for WaitFor<L, F>
where
    L: Deref<Target = Life>,
    F: FnMut(&L) -> Option<T>,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        if let Some(found) = (this.look)(&this.life) {
            return Poll::Ready(found);
        }
        // Listening starts before looking once more, so that no change falls between.
        this.life.listen(&mut this.place, cx);
        (this.look)(&this.life).map_or(Poll::Pending, Poll::Ready)
    }
}

impl<L: Deref<Target = Life>, F> Drop for WaitFor<L, F> {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            self.life.forget(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Woken {
        fn times(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn is_ready<F: Future + Unpin>(future: &mut F, woken: &Arc<Woken>) -> bool {
        let waker = Waker::from(Arc::clone(woken));
        Pin::new(future)
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
    }

    fn listens<'a>(life: &'a Life) -> WaitFor<&'a Life, impl FnMut(&&'a Life) -> Option<()>> {
        wait_for(life, |life: &&'a Life| life.is_ready().then_some(()))
    }

    fn is_empty(life: &Life) -> bool {
        let listeners = lock(&life.listeners);
        let others = listeners.others.as_ref();
        listeners.first.is_none() && others.is_none_or(|others| others.wakers.is_empty())
    }

    #[test]
    fn each_listener_is_woken_once_for_each_milestone() {
        let life = Life::default();
        let wokens: Vec<_> = (0..4).map(|_| Arc::new(Woken::default())).collect();
        let mut futures: Vec<_> = wokens.iter().map(|_| listens(&life)).collect();
        for round in 1..4 {
            for (future, woken) in futures.iter_mut().zip(&wokens) {
                assert!(!is_ready(future, woken));
                assert!(
                    !is_ready(future, woken),
                    "polled again it has the same place"
                );
            }
            life.announce();
            life.announce();
            assert!(wokens.iter().all(|woken| woken.times() == round));
        }
        life.set_ready();
        for (future, woken) in futures.iter_mut().zip(&wokens) {
            assert!(is_ready(future, woken));
        }
    }

    #[test]
    fn a_listener_that_is_dropped_leaves_nothing_and_takes_no_other_along() {
        let life = Life::default();
        let (gone, stays) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let mut dropped = [listens(&life), listens(&life)];
        for future in &mut dropped {
            assert!(!is_ready(future, &gone));
        }
        // Whose place is that of one who listened in the round before.
        life.announce();
        let mut futures = [listens(&life), listens(&life), listens(&life)];
        for future in &mut futures {
            assert!(!is_ready(future, &stays));
        }
        drop(dropped);
        for n in 0..100 {
            let mut future = listens(&life);
            assert!(!is_ready(&mut future, &gone), "{n}");
        }
        life.set_ready();
        assert_eq!((gone.times(), stays.times()), (2, 3));
        assert!(is_empty(&life));
        for future in &mut futures {
            assert!(is_ready(future, &stays));
        }
    }

    #[test]
    fn one_who_listens_with_another_waker_is_woken_by_that() {
        let life = Life::default();
        let (before, after) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let mut future = listens(&life);
        assert!(!is_ready(&mut future, &before));
        assert!(!is_ready(&mut future, &after));
        life.announce();
        assert_eq!((before.times(), after.times()), (0, 1));
    }

    #[test]
    fn no_milestone_is_missed_by_one_who_comes_at_the_same_time() {
        for _ in 0..2_000 {
            let life = Life::default();
            std::thread::scope(|scope| {
                scope.spawn(|| life.set_ready());
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                runtime.unwrap().block_on(listens(&life));
            });
        }
    }
}
