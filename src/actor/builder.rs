//! How an actor is made and started.

use super::ending::give_up;
use super::held::{Held, Holdable};
use super::life::Life;
use super::run::Runner;
use super::shared::{Place, Shared};
use super::{Actor, ActorId, ActorName, Direct, Dispatch, Exit, Handle, Level, Overflow};
use crate::mailbox::MailboxStats;
use crate::supervision::{Group, RestartPolicy};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How many messages may wait in a mailbox unless said otherwise.
pub(crate) const DEFAULT_CAPACITY: usize = 1024;

/// How long hooks may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) start: Duration,
    pub(crate) stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(10),
            stop: Duration::from_secs(10),
        }
    }
}

/// What makes an actor's incarnations: one value, or a factory under a policy.
pub(crate) struct Mould<A: Actor> {
    pub(super) first: A,
    pub(super) again: Option<(Box<dyn FnMut() -> A + Send>, RestartPolicy)>,
}

impl<A: Actor> Mould<A> {
    pub(crate) fn value(actor: A) -> Self {
        Self {
            first: actor,
            again: None,
        }
    }

    /// The first incarnation is made at once: it knows the actor's name.
    pub(crate) fn factory(
        mut factory: impl FnMut() -> A + Send + 'static,
        policy: RestartPolicy,
    ) -> Self {
        Self {
            first: factory(),
            again: Some((Box::new(factory), policy)),
        }
    }

    #[inline]
    pub(crate) fn name(&self) -> ActorName {
        self.first.name().into()
    }
}

/// A mailbox that has handles and no actor yet. Dropped, it ends the actor as never started.
pub(crate) struct Seat<A: Actor> {
    actor: Held<Shared<A>>,
    vacant: Runner<A>,
}

impl<A: Actor> Seat<A> {
    /// Where it runs is settled when it is spawned.
    pub(crate) fn new(name: ActorName, capacity: usize) -> Self {
        let (shared, tenancy) = Shared::new(name, capacity, None);
        let vacant = Runner::vacant(Arc::clone(&shared), tenancy);
        let actor = Held::first(shared);
        Self { actor, vacant }
    }

    pub(crate) fn handle(&self) -> Handle<A> {
        Handle(self.actor.clone())
    }

    pub(crate) fn set_capacity(&self, capacity: usize) {
        self.actor.mailbox.set_capacity(capacity);
    }

    pub(crate) fn set_overflow(&self, overflow: Overflow) {
        self.actor.set_overflow(overflow);
    }

    pub(crate) fn managed(&self) -> Held<dyn Managed> {
        self.actor.as_other(|actor| actor as _)
    }

    /// The actor's task, ready to be spawned. Dropped instead, it ends the actor as never started.
    pub(crate) fn runner(
        self,
        mould: Mould<A>,
        limits: Limits,
        group: Option<&Arc<Group>>,
    ) -> Runner<A> {
        self.vacant.occupied(mould, limits, group)
    }
}

/// An actor of any type as its registry sees it.
pub(crate) trait Managed: Holdable + Send + Sync {
    fn id(&self) -> ActorId;
    fn name(&self) -> &ActorName;
    fn raise(&self, level: Level);
    fn stats(&self) -> MailboxStats;
    fn life(&self) -> &Life;
    /// The report of an actor whose handler does not yield, written without it; its own if it has ended meanwhile.
    fn give_up(&self) -> Arc<Exit>;
}

impl<A: Actor> Managed for Shared<A> {
    fn id(&self) -> ActorId {
        Self::id(self)
    }

    fn name(&self) -> &ActorName {
        &self.name
    }

    fn raise(&self, level: Level) {
        Self::raise(self, level);
    }

    fn stats(&self) -> MailboxStats {
        Self::stats(self)
    }

    fn life(&self) -> &Life {
        &self.life
    }

    fn give_up(&self) -> Arc<Exit> {
        give_up(self)
    }
}

/// Makes an actor with other than the default settings.
///
/// ```
/// use postroom::actor::{Actor, Builder};
/// use postroom::supervision::RestartPolicy;
/// # use std::convert::Infallible;
/// # struct Worker;
/// # impl Actor for Worker { type Error = Infallible; }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let plain = Builder::new(Worker).name("plain").capacity(16).spawn()?;
/// let supervised = Builder::supervised(|| Worker, RestartPolicy::permanent()).spawn()?;
/// # drop((plain, supervised));
/// # Ok(())
/// # }
/// ```
///
/// A value cannot be made again, so it has no policy:
///
/// ```compile_fail
/// use postroom::actor::{Actor, Builder};
/// use postroom::supervision::RestartPolicy;
/// # use std::convert::Infallible;
/// # struct Worker;
/// # impl Actor for Worker { type Error = Infallible; }
/// let builder = Builder::supervised(Worker, RestartPolicy::permanent());
/// ```
#[must_use = "nothing runs until `spawn`"]
pub struct Builder<A: Actor> {
    mould: Mould<A>,
    name: Option<ActorName>,
    capacity: usize,
    overflow: Overflow,
    dispatch: Dispatch,
    limits: Limits,
    #[cfg(feature = "testing")]
    faults: super::Faults,
}

impl<A: Actor> Builder<A> {
    /// An actor given as a value is temporary: a panic ends it.
    pub fn new(actor: A) -> Self {
        Self::from_mould(Mould::value(actor))
    }

    /// An actor given as a factory is restarted as the policy says. The factory is called now for the
    /// first incarnation, and in the actor's task for each further one.
    pub fn supervised(factory: impl FnMut() -> A + Send + 'static, policy: RestartPolicy) -> Self {
        Self::from_mould(Mould::factory(factory, policy))
    }

    fn from_mould(mould: Mould<A>) -> Self {
        Self {
            mould,
            name: None,
            capacity: DEFAULT_CAPACITY,
            overflow: Overflow::default(),
            dispatch: Dispatch::default(),
            limits: Limits::default(),
            #[cfg(feature = "testing")]
            faults: super::Faults::default(),
        }
    }

    /// What the actor is called instead of [`Actor::name`]. Of text that is known when the program is compiled,
    /// [`ActorName::from_static`] makes a name without a copy.
    pub fn name(mut self, name: impl Into<ActorName>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How many messages may wait. Default: 1,024. Zero is an error at [`spawn`](Self::spawn).
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    /// What a full mailbox does with one more message. Default: [`Overflow::Wait`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Where handlers run when the actor is idle. Default: [`Dispatch::Auto`].
    pub fn dispatch(mut self, dispatch: Dispatch) -> Self {
        self.dispatch = dispatch;
        self
    }

    /// How long [`Actor::started`] may take. Default: 10 s.
    pub fn start_deadline(mut self, limit: Duration) -> Self {
        self.limits.start = limit;
        self
    }

    /// How long [`Actor::stopped`] may take. Default: 10 s.
    pub fn stop_deadline(mut self, limit: Duration) -> Self {
        self.limits.stop = limit;
        self
    }

    /// Starts the actor's task on the current runtime.
    ///
    /// # Errors
    /// [`SpawnError::ZeroCapacity`], and [`SpawnError::NoRuntime`] outside a tokio runtime.
    pub fn spawn(self) -> Result<Handle<A>, SpawnError> {
        let name = self.name.unwrap_or_else(|| self.mould.name());
        if self.capacity == 0 {
            return Err(SpawnError::ZeroCapacity { actor: name });
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Err(SpawnError::NoRuntime { actor: name });
        };
        let place = Place::task(self.dispatch, &runtime);
        let (shared, tenancy) = Shared::new(name, self.capacity, Some(place));
        shared.set_overflow(self.overflow);
        #[cfg(feature = "testing")]
        shared.inject(self.faults);
        let handle = Handle(Held::first(Arc::clone(&shared)));
        let runner = Runner::vacant(shared, tenancy).occupied(self.mould, self.limits, None);
        drop(runtime.spawn(runner));
        Ok(handle)
    }
}

#[cfg(feature = "testing")]
impl<A: Actor> Builder<A> {
    /// Faults to be injected, for tests.
    pub fn faults(mut self, faults: super::Faults) -> Self {
        self.faults = faults;
        self
    }

    /// The actor without a task: the test handles one message after the other by the
    /// [`Stepper`](super::Stepper). Messages always go through the mailbox.
    ///
    /// # Errors
    /// [`SpawnError::ZeroCapacity`].
    pub fn stepped(self) -> Result<(Handle<A>, super::Stepper<A>), SpawnError> {
        let name = self.name.unwrap_or_else(|| self.mould.name());
        if self.capacity == 0 {
            return Err(SpawnError::ZeroCapacity { actor: name });
        }
        let seat = Seat::new(name, self.capacity);
        seat.set_overflow(self.overflow);
        let handle = seat.handle();
        let shared = Arc::clone(handle.0.shared());
        shared.inject(self.faults);
        let runner = seat.runner(self.mould, self.limits, None);
        Ok((handle, super::Stepper::new(shared, runner)))
    }
}

impl<A: Actor> Builder<A> {
    /// The actor without a mailbox and without a task: its handlers run in its callers' tasks. The capacity
    /// and [`Dispatch`] mean nothing to it.
    ///
    /// # Errors
    /// [`SpawnError::NoRuntime`] outside a tokio runtime, on which it ends what its callers leave half-done.
    pub fn direct(self) -> Result<Direct<A>, SpawnError> {
        let name = self.name.unwrap_or_else(|| self.mould.name());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Err(SpawnError::NoRuntime { actor: name });
        };
        let (shared, tenancy) = Shared::new(name, 1, None);
        #[cfg(feature = "testing")]
        shared.inject(self.faults);
        let vacant = Runner::vacant(Arc::clone(&shared), tenancy);
        let runner = vacant.occupied(self.mould, self.limits, None);
        Ok(Direct::new(shared, runner, runtime))
    }
}

impl<A: Actor> fmt::Debug for Builder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// Why an actor could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// A mailbox without a slot could never accept a message.
    #[error("actor `{actor}` has capacity 0: give it at least 1")]
    ZeroCapacity {
        /// The actor's name.
        actor: ActorName,
    },
    /// There is no runtime to run it on.
    #[error("actor `{actor}` was spawned outside a tokio runtime: call this inside one")]
    NoRuntime {
        /// The actor's name.
        actor: ActorName,
    },
}
