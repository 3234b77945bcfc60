//! What an actor's handles, its context and its task share.

use super::direct::Desk;
use super::dispatch::Gauge;
use super::ending::Aftermath;
use super::exit::Exit;
use super::guard::guarded;
use super::held::{Holdable, Holders};
use super::identity::ActorId;
use super::life::{Life, wait_for};
use super::reply::Ledger;
use super::resident::Resident;
use super::{Actor, ActorName, Dispatch, Level, Overflow};
#[cfg(not(debug_assertions))]
use crate::mailbox::arc;
use crate::mailbox::{
    Envelope, Found, Mailbox, MailboxStats, Outcome, Return, SetOnce, Tenancy, lock,
};
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::runtime;
use tokio::time::Sleep;

/// One actor, across all its incarnations.
///
/// In this order, so that what each sender writes in the mailbox lies in one line of the cache: see the test.
#[repr(C)]
pub(crate) struct Shared<A: Actor> {
    pub(super) name: ActorName,
    holders: Holders,
    pub(super) mailbox: Mailbox<Resident<A>>,
    pub(super) life: Life,
    pub(super) restarts: AtomicU64,
    pub(super) aftermath: Mutex<Option<Box<Aftermath>>>,
    /// Set before the first message is handled.
    place: SetOnce<Place<A>>,
    pub(super) gauge: Gauge,
    /// The drain was caused by the last handle's end and not asked for.
    pub(super) handles_dropped: AtomicBool,
    told_error_logged: AtomicBool,
    drops_newest: AtomicBool,
    #[cfg(feature = "testing")]
    faults: SetOnce<super::Faults>,
    /// For looking at it later.
    #[cfg(debug_assertions)]
    itself: Weak<Self>,
}

/// Where an actor's handlers run.
pub(super) enum Place<A: Actor> {
    /// In a task on this runtime, or where this says.
    Task(Dispatch, runtime::Id),
    /// In its callers' tasks.
    Desk(Weak<Desk<A>>),
}

impl<A: Actor> Place<A> {
    pub(super) fn task(dispatch: Dispatch, runtime: &tokio::runtime::Handle) -> Self {
        Self::Task(dispatch, runtime.id())
    }
}

impl<A: Actor> Shared<A> {
    /// An actor without a task, and the right to be its task.
    pub(super) fn new(
        name: ActorName,
        capacity: usize,
        place: Option<Place<A>>,
    ) -> (Arc<Self>, Tenancy) {
        #[cfg(debug_assertions)]
        {
            let (mailbox, tenancy) = Mailbox::new(capacity);
            let of = |itself: &Weak<Self>| Self::of(name, mailbox, place, Weak::clone(itself));
            (Arc::new_cyclic(of), tenancy)
        }
        #[cfg(not(debug_assertions))]
        arc(|| {
            let (mailbox, tenancy) = Mailbox::new(capacity);
            (Self::of(name, mailbox, place), tenancy)
        })
    }

    #[inline]
    fn of(
        name: ActorName,
        mailbox: Mailbox<Resident<A>>,
        place: Option<Place<A>>,
        #[cfg(debug_assertions)] itself: Weak<Self>,
    ) -> Self {
        Self {
            name,
            holders: Holders::default(),
            mailbox,
            place: SetOnce::new(place),
            gauge: Gauge::default(),
            life: Life::default(),
            restarts: AtomicU64::new(0),
            handles_dropped: AtomicBool::new(false),
            told_error_logged: AtomicBool::new(false),
            #[cfg(feature = "testing")]
            faults: SetOnce::default(),
            drops_newest: AtomicBool::new(false),
            aftermath: Mutex::default(),
            #[cfg(debug_assertions)]
            itself,
        }
    }

    #[inline]
    pub(super) fn id(&self) -> ActorId {
        ActorId::of_mailbox(self.mailbox.id())
    }

    pub(super) fn settle_on(&self, dispatch: Dispatch, runtime: &tokio::runtime::Handle) {
        // Once: an actor has one task.
        let _ = self.place.set(Place::task(dispatch, runtime));
    }

    /// Whether a test has it fail.
    #[cfg(feature = "testing")]
    pub(super) fn has_faults(&self) -> bool {
        self.faults.get().is_some()
    }

    /// Before it starts.
    #[cfg(feature = "testing")]
    pub(super) fn inject(&self, faults: super::Faults) {
        if !faults.is_none() {
            // Once: the actor has just been made.
            let _ = self.faults.set(faults);
        }
    }

    /// A handler is about to be called.
    #[cfg(feature = "testing")]
    #[inline]
    pub(super) fn before_handler(&self) {
        if let Some(faults) = self.faults.get() {
            faults.before_handler();
        }
    }

    /// `started` is about to be called.
    #[cfg(feature = "testing")]
    pub(super) async fn before_start(&self) {
        if let Some(faults) = self.faults.get() {
            faults.before_start().await;
        }
    }

    pub(super) fn settle_at(&self, desk: Weak<Desk<A>>) {
        let _ = self.place.set(Place::Desk(desk));
    }

    /// Where handlers run, and the runtime of the actor's task. Before it has one there is none but its own.
    #[inline]
    pub(super) fn task(&self) -> Option<(Dispatch, runtime::Id)> {
        match self.place.get() {
            Some(Place::Task(dispatch, runtime)) => Some((*dispatch, *runtime)),
            Some(Place::Desk(_)) | None => None,
        }
    }

    /// What is done with a message that finds no room. Only before the actor starts.
    pub(super) fn set_overflow(&self, overflow: Overflow) {
        match overflow {
            Overflow::Wait => {}
            Overflow::DropNewest => self.drops_newest.store(true, Ordering::Release),
            Overflow::EvictOldest => self.mailbox.set_evicts(),
        }
    }

    pub(super) fn overflow(&self) -> Overflow {
        if self.drops_newest.load(Ordering::Acquire) {
            Overflow::DropNewest
        } else if self.mailbox.evicts() {
            Overflow::EvictOldest
        } else {
            Overflow::Wait
        }
    }

    pub(super) fn stats(&self) -> MailboxStats {
        self.mailbox.stats(self.restarts.load(Ordering::Relaxed))
    }

    pub(super) fn raise(&self, level: Level) {
        if self.mailbox.raise(level) {
            self.life.announce();
            if let Some(Place::Desk(desk)) = self.place.get()
                && let Some(desk) = desk.upgrade()
            {
                desk.attend();
            }
        }
    }

    /// Makes a timer for the actor's hooks and pauses: on its own runtime, for its caller's may have no clock, or rest.
    pub(super) fn sleep(&self, duration: Duration) -> Pin<Box<Sleep>> {
        let make = || Box::pin(tokio::time::sleep(duration));
        match self.place.get() {
            Some(Place::Desk(desk)) => match desk.upgrade() {
                Some(desk) => desk.at_home(make),
                None => make(),
            },
            _ => make(),
        }
    }

    /// The incarnation is to end.
    pub(super) fn let_out(&self) {
        self.mailbox.let_out();
        if let Some(Place::Desk(desk)) = self.place.get()
            && let Some(desk) = desk.upgrade()
        {
            desk.attend_to_let_out();
        }
    }

    /// Tells whether a send still stands in line.
    #[cfg(debug_assertions)]
    pub(super) fn watch_line(&self, ticket: crate::mailbox::Ticket) -> super::circle::Holds {
        // Held, for one that is upgraded at each look might be the last, and be dropped under the lock of all that wait.
        let shared = self.itself.upgrade();
        Box::new(move || {
            let shared = shared.as_ref();
            shared.is_some_and(|shared| shared.mailbox.still_waits(ticket))
        })
    }

    /// Whether the actor is to drain, and its queue is empty for good: who raises the level closes it after.
    pub(super) fn has_nothing_left(&self) -> bool {
        self.mailbox.level() == Level::Drain && self.mailbox.look() == Found::Drained
    }

    /// Gives back everything that `next` finds queued. Returns what panics in dropping messages said.
    pub(super) fn give_back(
        &self,
        mut next: impl FnMut() -> Option<Envelope<Resident<A>>>,
    ) -> Vec<Arc<str>> {
        let mut panics = Vec::new();
        while let Some(envelope) = next() {
            let message = envelope.message();
            let given_back = guarded(self.id(), || {
                envelope.give_back(Return::Stopped, &self.mailbox)
            });
            if !matches!(given_back, Ok(false)) {
                let mut aftermath = lock(&self.aftermath);
                let undelivered = &mut aftermath.get_or_insert_default().undelivered;
                match undelivered.iter_mut().find(|(name, _)| *name == message) {
                    Some((_, count)) => *count += 1,
                    None => undelivered.push((message, 1)),
                }
            }
            panics.extend(given_back.err());
        }
        panics
    }
}

impl<A: Actor> Ledger for Shared<A> {
    fn settle(&self, outcome: Outcome) {
        self.mailbox.settle(outcome);
    }

    fn told_failed(&self, message: &'static str) {
        if !self.told_error_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                actor = &*self.name,
                message,
                "the handler of a told message returned an error; further ones are only counted"
            );
        }
    }
}

impl<A: Actor> Holdable for Shared<A> {
    #[inline]
    fn holders(&self) -> &Holders {
        &self.holders
    }

    fn abandoned(&self) {
        if self.mailbox.level() == Level::Open {
            self.handles_dropped.store(true, Ordering::Release);
            self.raise(Level::Drain);
        }
    }
}

/// An actor's life, and a part of the actor, which it does not keep alive.
pub(super) struct LifeOf<A: Actor>(pub(super) Arc<Shared<A>>);

impl<A: Actor> Deref for LifeOf<A> {
    type Target = Life;

    #[inline]
    fn deref(&self) -> &Life {
        &self.0.life
    }
}

impl<A: Actor> Shared<A> {
    /// A future that owns its part of the actor and does not keep it alive.
    pub(super) fn ended(
        self: &Arc<Self>,
    ) -> impl Future<Output = Arc<Exit>> + Send + 'static + use<A> {
        wait_for(LifeOf(Arc::clone(self)), |life| life.exit().cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::{Actor, Mailbox, Resident, Shared};
    use std::convert::Infallible;
    use std::mem::offset_of;

    struct Nobody;

    impl Actor for Nobody {
        type Error = Infallible;
    }

    /// An `Arc` has two counts in front, and allocators align to 16 bytes.
    #[cfg(target_pointer_width = "64")]
    #[test]
    fn what_each_sender_writes_lies_in_one_line_of_the_cache() {
        let senders = Mailbox::<Resident<Nobody>>::OF_SENDERS;
        assert_eq!((16 + offset_of!(Shared<Nobody>, mailbox) + senders) % 16, 0);
    }
}
