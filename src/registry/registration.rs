//! Describing one actor of a registry.

use super::BuildError;
use super::builder::Slot;
use super::member::Member;
use super::routes::{Route, Table};
use crate::actor::{
    Actor, ActorId, ActorName, DEFAULT_CAPACITY, Dispatch, Handle, Limits, Message, Mould,
    Overflow, Receive, Seat,
};
use crate::supervision::Group;
use std::any::{Any, TypeId, type_name};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One actor being described, for a registry that is being built (`P` is its builder; then
/// [`register`](Self::register) adds the actor) or that runs (`P` is the registry; then
/// [`start`](Self::start) adds it).
#[must_use = "the actor is added by `register` or `start`"]
pub struct Registration<P, A: Actor> {
    pub(super) place: P,
    pub(super) description: Description<A>,
}

pub(super) struct Description<A: Actor> {
    mould: Mould<A>,
    slot: Option<Slot<A>>,
    name: Option<ActorName>,
    capacity: Option<usize>,
    overflow: Overflow,
    dispatch: Dispatch,
    limits: Limits,
    drain: Option<Duration>,
    critical: bool,
    pub(super) group: Option<Arc<Group>>,
    handles: Vec<Declared<A>>,
    sends_to: Vec<Dependency>,
}

/// A message type and how to make its recipient from a handle.
type Declared<A> = (
    TypeId,
    &'static str,
    fn(&Handle<A>) -> Box<dyn Any + Send + Sync>,
);

/// An actor that another one sends to.
pub(super) type Dependency = (ActorId, ActorName);

impl<P, A: Actor> Registration<P, A> {
    pub(super) fn new(place: P, mould: Mould<A>, slot: Option<Slot<A>>) -> Self {
        let description = Description {
            mould,
            slot,
            name: None,
            capacity: None,
            overflow: Overflow::default(),
            dispatch: Dispatch::default(),
            limits: Limits::default(),
            drain: None,
            critical: false,
            group: None,
            handles: Vec::new(),
            sends_to: Vec::new(),
        };
        Self { place, description }
    }

    /// What the actor is called instead of [`Actor::name`]. A reserved place has its name already.
    pub fn name(mut self, name: impl Into<ActorName>) -> Self {
        self.description.name = Some(name.into());
        self
    }

    /// How many messages may wait. Default: 1,024.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.description.capacity = Some(capacity);
        self
    }

    /// What a full mailbox does with one more message. Default: [`Overflow::Wait`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.description.overflow = overflow;
        self
    }

    /// Where asked handlers run when the actor is idle. Default: [`Dispatch::Auto`].
    pub fn dispatch(mut self, dispatch: Dispatch) -> Self {
        self.description.dispatch = dispatch;
        self
    }

    /// How long [`Actor::started`] may take. Default: 10 s.
    pub fn start_deadline(mut self, limit: Duration) -> Self {
        self.description.limits.start = limit;
        self
    }

    /// How long [`Actor::stopped`] may take. Default: 10 s.
    pub fn stop_deadline(mut self, limit: Duration) -> Self {
        self.description.limits.stop = limit;
        self
    }

    /// How long this actor may drain when it is removed or the registry shuts down.
    pub fn drain_deadline(mut self, limit: Duration) -> Self {
        self.description.drain = Some(limit);
        self
    }

    /// If this actor fails for good, the registry shuts down and names it as the cause.
    pub fn critical(mut self) -> Self {
        self.description.critical = true;
        self
    }

    /// Routes messages of this type to this actor.
    pub fn handles<M: Message>(mut self) -> Self
    where
        A: Receive<M>,
    {
        self.description
            .handles
            .push((TypeId::of::<M>(), type_name::<M>(), |handle| {
                Box::new(handle.recipient::<M>())
            }));
        self
    }

    /// Declares that this actor sends to another one of the registry. The graph of declared sends must
    /// be free of circles, and an actor starts after those it sends to.
    pub fn sends_to<B: Actor>(mut self, other: &Handle<B>) -> Self {
        let dependency = (other.id(), other.name().clone());
        self.description.sends_to.push(dependency);
        self
    }
}

impl<P, A: Actor> fmt::Debug for Registration<P, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("name", &self.description.name)
            .finish_non_exhaustive()
    }
}

/// Spawns an actor's task; dropped instead, it ends the actor as never started.
pub(super) type Launch = Box<dyn FnOnce(&tokio::runtime::Handle) + Send>;

/// An actor that has been let in: it has a mailbox, its routes are in the table, and it can start.
pub(super) struct Admitted<A: Actor> {
    pub(super) handle: Handle<A>,
    pub(super) member: Member,
    pub(super) launch: Launch,
}

impl<A: Actor> Description<A> {
    /// The actors it was declared to send to.
    pub(super) fn dependencies(&self) -> &[Dependency] {
        &self.sends_to
    }

    pub(super) fn take_dependencies(&mut self) -> Vec<Dependency> {
        std::mem::take(&mut self.sends_to)
    }

    pub(super) fn name(&self) -> ActorName {
        match (&self.slot, &self.name) {
            (Some(slot), _) => slot.name.clone(),
            (None, Some(name)) => name.clone(),
            (None, None) => self.mould.name(),
        }
    }

    /// Checks everything before anything is entered, so that a refusal leaves no trace.
    pub(super) fn check(
        &self,
        name: &ActorName,
        is_taken: impl FnOnce(&str) -> bool,
        table: &Table,
    ) -> Result<(), BuildError> {
        let duplicate = match &self.slot {
            Some(slot) => slot.duplicate,
            None => is_taken(name),
        };
        if duplicate {
            let name = name.clone();
            return Err(BuildError::DuplicateName { name });
        }
        if self.capacity == Some(0) {
            let actor = name.clone();
            return Err(BuildError::ZeroCapacity { actor });
        }
        let mut own = HashSet::new();
        for (message, text, _) in &self.handles {
            let first = table.get(*message).map(|route| &route.actor);
            let twice = (!own.insert(*message)).then_some(name);
            if let Some(first) = first.or(twice) {
                let (first, second) = (first.clone(), name.clone());
                return Err(BuildError::DuplicateRoute {
                    message: text,
                    first,
                    second,
                });
            }
        }
        Ok(())
    }

    /// Lets the actor in. It has been checked.
    pub(super) fn admit(self, name: &ActorName, table: &mut Table) -> Admitted<A> {
        let seat = match self.slot {
            Some(slot) => slot.seat,
            None => Seat::new(name.clone(), DEFAULT_CAPACITY),
        };
        if let Some(capacity) = self.capacity {
            seat.set_capacity(capacity);
        }
        seat.set_overflow(self.overflow);
        let handle = seat.handle();
        for (message, _, recipient) in &self.handles {
            let (recipient, actor) = (recipient(&handle), name.clone());
            table.insert(*message, Route { recipient, actor });
        }
        let member = Member {
            actor: seat.managed(),
            critical: self.critical,
            drain: self.drain,
            stop: self.limits.stop,
            routes: self.handles.iter().map(|(message, ..)| *message).collect(),
        };
        let runner = seat.runner(self.mould, self.limits, self.group.as_ref());
        let dispatch = self.dispatch;
        Admitted {
            handle,
            member,
            launch: Box::new(move |runtime| runner.spawn(dispatch, runtime)),
        }
    }
}
