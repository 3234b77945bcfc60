//! Describing a registry before anything runs.

use super::routes::{Routes, Table};
use super::running::{ActorRegistry, Member, Settings};
use super::{BuildError, StartError, order};
use crate::actor::{
    Actor, ActorId, DEFAULT_CAPACITY, Dispatch, Handle, Limits, Managed, Message, Mould, Receive,
    Seat,
};
use crate::supervision::RestartPolicy;
use std::any::{Any, TypeId, type_name};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Describes a registry: its actors in the order in which they start, and what is routed to them.
///
/// Dropped without [`start`](Self::start), it ends its actors as never started: handles are closed and
/// messages that were sent ahead come back.
#[must_use = "nothing runs until `start`"]
pub struct ActorRegistryBuilder {
    names: HashSet<Arc<str>>,
    reserved: Vec<(ActorId, Arc<str>)>,
    routed: HashMap<TypeId, Arc<str>>,
    table: Table,
    routes: Routes,
    planned: Vec<Planned>,
    settings: Settings,
}

/// Spawns an actor's task; dropped instead, it ends the actor as never started.
pub(super) type Launch = Box<dyn FnOnce(&tokio::runtime::Handle) + Send>;

struct Planned {
    member: Member,
    launch: Launch,
    sends_to: Vec<(ActorId, Arc<str>)>,
}

impl ActorRegistryBuilder {
    pub(super) fn new() -> Self {
        Self {
            names: HashSet::new(),
            reserved: Vec::new(),
            routed: HashMap::new(),
            table: Table::new(),
            routes: Routes::new(),
            planned: Vec::new(),
            settings: Settings::default(),
        }
    }

    /// Adds an actor given as a value: it is temporary, and a panic ends it.
    pub fn add<A: Actor>(&mut self, actor: A) -> Registration<'_, A> {
        Registration::new(self, Mould::value(actor), None)
    }

    /// Adds an actor given as a factory, restarted as the policy says. The factory is called now for
    /// the first incarnation.
    pub fn supervise<A: Actor>(
        &mut self,
        factory: impl FnMut() -> A + Send + 'static,
        policy: RestartPolicy,
    ) -> Registration<'_, A> {
        Registration::new(self, Mould::factory(factory, policy), None)
    }

    /// Makes a mailbox for an actor that is registered later with [`fill`](Self::fill), so that others
    /// can be given its handle first. Until it is filled it takes as many messages as any mailbox by
    /// default, 1,024.
    pub fn reserve<A: Actor>(&mut self, name: impl Into<Arc<str>>) -> Slot<A> {
        let name = name.into();
        let duplicate = !self.names.insert(Arc::clone(&name));
        let seat = Seat::new(Arc::clone(&name), DEFAULT_CAPACITY);
        self.reserved.push((seat.handle().id(), Arc::clone(&name)));
        Slot {
            seat,
            name,
            duplicate,
        }
    }

    /// Registers an actor, given as a value, in a place that was reserved. It starts in the order of
    /// filling.
    pub fn fill<A: Actor>(&mut self, slot: Slot<A>, actor: A) -> Registration<'_, A> {
        Registration::new(self, Mould::value(actor), Some(slot))
    }

    /// Registers an actor, given as a factory, in a place that was reserved.
    pub fn fill_supervised<A: Actor>(
        &mut self,
        slot: Slot<A>,
        factory: impl FnMut() -> A + Send + 'static,
        policy: RestartPolicy,
    ) -> Registration<'_, A> {
        Registration::new(self, Mould::factory(factory, policy), Some(slot))
    }

    /// How long each actor may drain at shutdown unless it says otherwise. Default: 10 s.
    pub fn drain_deadline(&mut self, limit: Duration) -> &mut Self {
        self.settings.drain = limit;
        self
    }

    /// How long all actors together may drain at shutdown; then the rest are stopped. Default: 30 s.
    pub fn shutdown_deadline(&mut self, limit: Duration) -> &mut Self {
        self.settings.total = limit;
        self
    }

    /// The routes the registry will have, for actors that send by message type.
    #[must_use]
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// Starts the actors in the order of registration, each when the one before it is ready.
    ///
    /// # Errors
    /// [`StartError::Build`] before anything has started; [`StartError::Actor`] if an actor does not
    /// start, after those before it have been stopped in reverse order.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it stops the actors that have started.
    pub async fn start(self) -> Result<ActorRegistry, StartError> {
        self.check()?;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Err(StartError::NoRuntime);
        };
        let (members, launches) = self
            .planned
            .into_iter()
            .map(|planned| (planned.member, planned.launch))
            .unzip();
        self.routes.open(self.table);
        super::running::start(members, launches, self.routes, self.settings, runtime).await
    }

    fn check(&self) -> Result<(), BuildError> {
        let index: HashMap<ActorId, usize> = self
            .planned
            .iter()
            .enumerate()
            .map(|(at, planned)| (planned.member.actor.id(), at))
            .collect();
        if let Some((_, name)) = self.reserved.iter().find(|(id, _)| !index.contains_key(id)) {
            return Err(BuildError::Unfilled {
                actor: Arc::clone(name),
            });
        }
        let names: Vec<_> = self
            .planned
            .iter()
            .map(|planned| Arc::clone(planned.member.actor.name()))
            .collect();
        let mut sends = Vec::with_capacity(names.len());
        for (planned, actor) in self.planned.iter().zip(&names) {
            let mut targets = Vec::with_capacity(planned.sends_to.len());
            for (id, name) in &planned.sends_to {
                let Some(&at) = index.get(id) else {
                    let (actor, dependency) = (Arc::clone(actor), Arc::clone(name));
                    return Err(BuildError::Stranger { actor, dependency });
                };
                targets.push(at);
            }
            sends.push(targets);
        }
        order::check(&names, &sends)
    }
}

impl fmt::Debug for ActorRegistryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorRegistryBuilder")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// A mailbox whose actor is still to come.
#[must_use = "a place that is never filled is an error at `start`"]
pub struct Slot<A: Actor> {
    seat: Seat<A>,
    name: Arc<str>,
    duplicate: bool,
}

impl<A: Actor> Slot<A> {
    /// A handle to the actor that will be registered here.
    #[must_use]
    pub fn handle(&self) -> Handle<A> {
        self.seat.handle()
    }
}

impl<A: Actor> fmt::Debug for Slot<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A message type and how to make its recipient from a handle.
type Declared<A> = (
    TypeId,
    &'static str,
    fn(&Handle<A>) -> Box<dyn Any + Send + Sync>,
);

/// One actor being described. [`register`](Self::register) adds it.
#[must_use = "the actor is added by `register`"]
pub struct Registration<'b, A: Actor> {
    builder: &'b mut ActorRegistryBuilder,
    mould: Mould<A>,
    slot: Option<Slot<A>>,
    name: Option<Arc<str>>,
    capacity: Option<usize>,
    dispatch: Dispatch,
    limits: Limits,
    drain: Option<Duration>,
    critical: bool,
    handles: Vec<Declared<A>>,
    sends_to: Vec<(ActorId, Arc<str>)>,
}

impl<'b, A: Actor> Registration<'b, A> {
    fn new(builder: &'b mut ActorRegistryBuilder, mould: Mould<A>, slot: Option<Slot<A>>) -> Self {
        Self {
            builder,
            mould,
            slot,
            name: None,
            capacity: None,
            dispatch: Dispatch::default(),
            limits: Limits::default(),
            drain: None,
            critical: false,
            handles: Vec::new(),
            sends_to: Vec::new(),
        }
    }

    /// What the actor is called instead of [`Actor::name`]. A reserved place has its name already.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How many messages may wait. Default: 1,024.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// Where asked handlers run when the actor is idle. Default: [`Dispatch::Auto`].
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

    /// How long this actor may drain at shutdown.
    pub fn drain_deadline(mut self, limit: Duration) -> Self {
        self.drain = Some(limit);
        self
    }

    /// If this actor fails for good, the registry shuts down and names it as the cause.
    pub fn critical(mut self) -> Self {
        self.critical = true;
        self
    }

    /// Routes messages of this type to this actor.
    pub fn handles<M: Message>(mut self) -> Self
    where
        A: Receive<M>,
    {
        self.handles
            .push((TypeId::of::<M>(), type_name::<M>(), |handle| {
                Box::new(handle.recipient::<M>())
            }));
        self
    }

    /// Declares that this actor sends to another one. The graph of declared sends must be free of
    /// circles, and an actor starts after those it sends to; both are checked by
    /// [`start`](ActorRegistryBuilder::start).
    pub fn sends_to<B: Actor>(mut self, other: &Handle<B>) -> Self {
        self.sends_to.push((other.id(), Arc::from(other.name())));
        self
    }

    /// Adds the actor. Its handle works at once: messages wait until it has started.
    ///
    /// # Errors
    /// [`BuildError::DuplicateName`], [`BuildError::DuplicateRoute`], [`BuildError::ZeroCapacity`].
    pub fn register(self) -> Result<Handle<A>, BuildError> {
        let builder = self.builder;
        let (seat, name, duplicate) = if let Some(slot) = self.slot {
            (slot.seat, slot.name, slot.duplicate)
        } else {
            let name = self.name.unwrap_or_else(|| self.mould.name());
            let duplicate = builder.names.contains(&name);
            (
                Seat::new(Arc::clone(&name), DEFAULT_CAPACITY),
                name,
                duplicate,
            )
        };
        // Everything is checked before anything is entered, so that a refusal leaves no trace.
        if duplicate {
            return Err(BuildError::DuplicateName { name });
        }
        if self.capacity == Some(0) {
            return Err(BuildError::ZeroCapacity { actor: name });
        }
        let mut own = HashSet::new();
        for (message, text, _) in &self.handles {
            let first = builder.routed.get(message);
            let twice = (!own.insert(*message)).then_some(&name);
            if let Some(first) = first.or(twice) {
                let (first, second) = (Arc::clone(first), Arc::clone(&name));
                return Err(BuildError::DuplicateRoute {
                    message: text,
                    first,
                    second,
                });
            }
        }
        if let Some(capacity) = self.capacity {
            seat.set_capacity(capacity);
        }
        let handle = seat.handle();
        for (message, _, recipient) in self.handles {
            builder.routed.insert(message, Arc::clone(&name));
            builder.table.insert(message, recipient(&handle));
        }
        builder.names.insert(name);
        let actor: Arc<dyn Managed> = seat.managed();
        let runner = seat.runner(self.mould, self.limits);
        let dispatch = self.dispatch;
        builder.planned.push(Planned {
            member: Member {
                actor,
                critical: self.critical,
                drain: self.drain,
                stop: self.limits.stop,
            },
            launch: Box::new(move |runtime| runner.spawn(dispatch, runtime)),
            sends_to: self.sends_to,
        });
        Ok(handle)
    }
}

impl<A: Actor> fmt::Debug for Registration<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
