//! Describing a registry before anything runs.

use super::member::Member;
use super::registration::{Dependency, Launch, Registration};
use super::roster::Roster;
use super::routes::{Routes, Table};
use super::running::{ActorRegistry, Settings};
use super::{BuildError, StartError, order};
use crate::actor::{Actor, ActorId, ActorName, DEFAULT_CAPACITY, Handle, Mould, Seat};
use crate::supervision::RestartPolicy;
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
    names: HashSet<ActorName>,
    reserved: Vec<Dependency>,
    table: Table,
    routes: Routes,
    planned: Vec<Planned>,
    settings: Settings,
}

struct Planned {
    member: Arc<Member>,
    launch: Launch,
    sends_to: Vec<Dependency>,
}

impl ActorRegistryBuilder {
    pub(super) fn new() -> Self {
        Self {
            names: HashSet::new(),
            reserved: Vec::new(),
            table: Table::default(),
            routes: Routes::new(),
            planned: Vec::new(),
            settings: Settings::default(),
        }
    }

    /// Adds an actor given as a value: it is temporary, and a panic ends it.
    pub fn add<A: Actor>(&mut self, actor: A) -> Registration<&mut Self, A> {
        Registration::new(self, Mould::value(actor), None)
    }

    /// Adds an actor given as a factory, restarted as the policy says. The factory is called now for
    /// the first incarnation.
    pub fn supervise<A: Actor>(
        &mut self,
        factory: impl FnMut() -> A + Send + 'static,
        policy: RestartPolicy,
    ) -> Registration<&mut Self, A> {
        Registration::new(self, Mould::factory(factory, policy), None)
    }

    /// Makes a mailbox for an actor that is registered later with [`fill`](Self::fill), so that others
    /// can be given its handle first. Until it is filled it takes as many messages as any mailbox by
    /// default, 1,024.
    pub fn reserve<A: Actor>(&mut self, name: impl Into<ActorName>) -> Slot<A> {
        let name = name.into();
        let duplicate = !self.names.insert(name.clone());
        let seat = Seat::new(name.clone(), DEFAULT_CAPACITY);
        self.reserved.push((seat.handle().id(), name.clone()));
        Slot {
            seat,
            name,
            duplicate,
        }
    }

    /// Registers an actor, given as a value, in a place that was reserved. It starts in the order of
    /// filling.
    pub fn fill<A: Actor>(&mut self, slot: Slot<A>, actor: A) -> Registration<&mut Self, A> {
        Registration::new(self, Mould::value(actor), Some(slot))
    }

    /// Registers an actor, given as a factory, in a place that was reserved.
    pub fn fill_supervised<A: Actor>(
        &mut self,
        slot: Slot<A>,
        factory: impl FnMut() -> A + Send + 'static,
        policy: RestartPolicy,
    ) -> Registration<&mut Self, A> {
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
    /// [`StartError::Build`] and [`StartError::NoRuntime`] before anything has started;
    /// [`StartError::Actor`] if an actor does not start, after those before it have been stopped in
    /// reverse order.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it stops the actors that have started.
    pub async fn start(self) -> Result<ActorRegistry, StartError> {
        self.check()?;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Err(StartError::NoRuntime);
        };
        let mut roster = Roster::default();
        let mut launches = Vec::with_capacity(self.planned.len());
        for planned in self.planned {
            roster.enter(planned.member);
            launches.push(planned.launch);
        }
        *self.routes.change() = self.table;
        let registry = ActorRegistry::new(roster, self.routes, self.settings, runtime);
        registry.start_all(launches).await?;
        Ok(registry)
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
                actor: name.clone(),
            });
        }
        let names: Vec<_> = self
            .planned
            .iter()
            .map(|planned| planned.member.actor.name().clone())
            .collect();
        let mut sends = Vec::with_capacity(names.len());
        for (planned, actor) in self.planned.iter().zip(&names) {
            let mut targets = Vec::with_capacity(planned.sends_to.len());
            for (id, name) in &planned.sends_to {
                let Some(&at) = index.get(id) else {
                    let (actor, dependency) = (actor.clone(), name.clone());
                    return Err(BuildError::Stranger { actor, dependency });
                };
                targets.push(at);
            }
            sends.push(targets);
        }
        order::check(&names, &sends)
    }
}

impl<A: Actor> Registration<&mut ActorRegistryBuilder, A> {
    /// Adds the actor. Its handle works at once: messages wait until it has started.
    ///
    /// # Errors
    /// [`BuildError::DuplicateName`], [`BuildError::DuplicateRoute`], [`BuildError::ZeroCapacity`].
    pub fn register(mut self) -> Result<Handle<A>, BuildError> {
        let builder = self.place;
        let name = self.description.name();
        let is_taken = |name: &str| builder.names.contains(name);
        self.description.check(&name, is_taken, &builder.table)?;
        let sends_to = self.description.take_dependencies();
        builder.names.insert(name.clone());
        let admitted = self.description.admit(&name, &mut builder.table);
        builder.planned.push(Planned {
            member: Arc::new(admitted.member),
            launch: admitted.launch,
            sends_to,
        });
        Ok(admitted.handle)
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
    pub(super) seat: Seat<A>,
    pub(super) name: ActorName,
    pub(super) duplicate: bool,
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
