//! What the harness needs of a library.

use crate::work::{CAPACITY, Work};
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::future::Future;
use std::marker::PhantomData;

/// One way to have actors.
pub trait Library: Send + Sync + 'static {
    const NAME: &'static str;
    /// Whether a full mailbox makes its senders wait.
    const BOUNDED: bool;
    /// Whether its actors live on actix's own arbiter instead of the runtime being measured.
    const ON_ARBITER: bool = false;
    type Counter<W: Work>: Subject;
    type Ledger: MixedSubject;
    type Route: Route;
    /// Actors that a registry holds by name.
    type Registered: Fleet;
}

/// A running counter.
pub trait Subject: Clone + Send + Sync + 'static {
    /// What its owner keeps beside the handle, to see it end.
    type Life: Send + Sync + 'static;

    /// Starts one. An answer to its first ask shows that it has started.
    fn start(capacity: usize) -> impl Future<Output = (Self, Self::Life)> + Send;
    fn ask(&self, n: u64) -> impl Future<Output = u64> + Send;
    fn tell(&self, n: u64) -> impl Future<Output = ()> + Send;
    /// Ends it, and waits until it has ended.
    fn stop(self, life: Self::Life) -> impl Future<Output = ()> + Send;

    /// Whether the library keeps a directory of actors by name, which `start_named` enters.
    const HAS_DIRECTORY: bool = false;
    fn start_named(name: String) -> impl Future<Output = (Self, Self::Life)> + Send {
        drop(name);
        Self::start(CAPACITY)
    }
}

/// A running ledger.
pub trait MixedSubject: Send + Sync + 'static {
    type Life: Send + Sync + 'static;

    fn start() -> impl Future<Output = (Self, Self::Life)> + Send
    where
        Self: Sized;
    fn ask_deposit(&self, n: u64) -> impl Future<Output = u64> + Send;
    fn tell_entries(&self, entries: [u64; 4]) -> impl Future<Output = ()> + Send;
    fn ask_balance(&self, filter: [u64; 8]) -> impl Future<Output = (u64, u64)> + Send;
    fn tell_touch(&self) -> impl Future<Output = ()> + Send;
    fn stop(self, life: Self::Life) -> impl Future<Output = ()> + Send;
}

/// A running counter that is found by the type of the message.
pub trait Route: Sized + Send + Sync + 'static {
    fn start() -> impl Future<Output = Self> + Send;
    fn ask(&self, n: u64) -> impl Future<Output = u64> + Send;
    fn stop(self) -> impl Future<Output = ()> + Send;
}

/// The route of everyone who has none: a map from the message's type to the handle.
pub struct TypeMap<S: Subject, M> {
    handles: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    life: S::Life,
    message: PhantomData<fn() -> (S, M)>,
}

impl<S: Subject, M: 'static> Route for TypeMap<S, M> {
    async fn start() -> Self {
        let (actor, life) = S::start(CAPACITY).await;
        let handle: Box<dyn Any + Send + Sync> = Box::new(actor);
        Self {
            handles: HashMap::from([(TypeId::of::<M>(), handle)]),
            life,
            message: PhantomData,
        }
    }

    async fn ask(&self, n: u64) -> u64 {
        let handle = self.handles.get(&TypeId::of::<M>()).expect("it is routed");
        let actor: &S = handle.downcast_ref().expect("keyed by its own type");
        actor.ask(n).await
    }

    async fn stop(mut self) {
        let handle = self.handles.remove(&TypeId::of::<M>());
        let actor = handle.and_then(|handle| handle.downcast::<S>().ok());
        actor.expect("it was put there").stop(self.life).await;
    }
}

/// Many idle actors.
pub trait Fleet: Sized + Send + Sync + 'static {
    type Actor: Subject;

    /// Makes room for the handles, which the harness needs and not the library.
    fn with_capacity(count: usize) -> Self;
    fn start(&mut self, count: usize) -> impl Future<Output = ()> + Send;
    fn actors(&self) -> &[Self::Actor];
    /// Ends all, last first, and waits until they have ended.
    fn stop(self) -> impl Future<Output = ()> + Send;
}

/// Actors that nobody but their owner knows.
pub struct Unregistered<S: Subject> {
    actors: Vec<S>,
    lives: Vec<S::Life>,
}

impl<S: Subject> Fleet for Unregistered<S> {
    type Actor = S;

    fn with_capacity(count: usize) -> Self {
        Self {
            actors: Vec::with_capacity(count),
            lives: Vec::with_capacity(count),
        }
    }

    async fn start(&mut self, count: usize) {
        for _ in 0..count {
            let (actor, life) = S::start(CAPACITY).await;
            self.actors.push(actor);
            self.lives.push(life);
        }
    }

    fn actors(&self) -> &[S] {
        &self.actors
    }

    async fn stop(mut self) {
        while let (Some(actor), Some(life)) = (self.actors.pop(), self.lives.pop()) {
            actor.stop(life).await;
        }
    }
}

/// Actors in a directory: the library's own where it has one, else a map from name to handle.
pub struct Named<S: Subject> {
    held: Unregistered<S>,
    directory: HashMap<String, S>,
}

impl<S: Subject> Fleet for Named<S> {
    type Actor = S;

    fn with_capacity(count: usize) -> Self {
        Self {
            held: Unregistered::with_capacity(count),
            directory: HashMap::new(),
        }
    }

    async fn start(&mut self, count: usize) {
        for at in 0..count {
            let name = format!("counter-{at}");
            let (actor, life) = if S::HAS_DIRECTORY {
                S::start_named(name).await
            } else {
                let (actor, life) = S::start(CAPACITY).await;
                self.directory.insert(name, actor.clone());
                (actor, life)
            };
            self.held.actors.push(actor);
            self.held.lives.push(life);
        }
    }

    fn actors(&self) -> &[S] {
        &self.held.actors
    }

    async fn stop(mut self) {
        while let (Some(actor), Some(life)) = (self.held.actors.pop(), self.held.lives.pop()) {
            if !S::HAS_DIRECTORY {
                self.directory
                    .remove(&format!("counter-{}", self.held.actors.len()));
            }
            actor.stop(life).await;
        }
    }
}
