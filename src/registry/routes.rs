//! From a message's type to the actor that handles it.

use super::Unrouted;
use crate::actor::{
    ActorName, Ask, AskError, Destination, Message, Recipient, SendError, Tell, Told, wait,
};
use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

/// The routes by message type.
#[derive(Default)]
pub(super) struct Table(HashMap<TypeId, Route, BuildHasherDefault<TypeIdHasher>>);

pub(super) struct Route {
    /// A `Recipient<M>` for the `M` of its key.
    pub(super) recipient: Box<dyn Any + Send + Sync>,
    /// The name of the actor that it leads to.
    pub(super) actor: ActorName,
}

impl Table {
    pub(super) fn get(&self, message: TypeId) -> Option<&Route> {
        self.0.get(&message)
    }

    pub(super) fn insert(&mut self, message: TypeId, route: Route) {
        self.0.insert(message, route);
    }
}

/// The routes of a registry: whoever holds them can send to its actors by message type.
///
/// Cheap to clone, and available from the builder on, so that actors can be given them. Until the
/// registry has started everything is unrouted; once its shutdown begins everything is closed.
#[derive(Clone)]
pub struct Routes(Arc<Inner>);

struct Inner {
    table: RwLock<Table>,
    closed: AtomicBool,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner {
            table: RwLock::default(),
            closed: AtomicBool::new(false),
        }))
    }

    /// The table, to be added to.
    pub(super) fn change(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn withdraw(&self, messages: &[TypeId]) {
        let mut table = self.change();
        let withdrawn: Vec<_> = messages
            .iter()
            .map(|message| table.0.remove(message))
            .collect();
        // A recipient may be the last that an actor has: it is dropped when the lock is not held.
        drop(table);
        drop(withdrawn);
    }

    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
    }

    fn find<M: Message>(&self) -> Option<Recipient<M>> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        let route = table.get(TypeId::of::<M>())?;
        route.recipient.downcast_ref().cloned()
    }

    fn destination<M: Message>(&self) -> Destination<'static, M> {
        if self.0.closed.load(Ordering::Acquire) {
            return Destination::Closed;
        }
        self.find()
            .map_or(Destination::Unrouted, Recipient::into_destination)
    }

    /// See [`Handle::tell`](crate::actor::Handle::tell).
    pub fn tell<M: Message>(&self, message: M) -> Tell<'static, M> {
        Tell::new(self.destination(), message)
    }

    /// See [`Handle::try_tell`](crate::actor::Handle::try_tell).
    ///
    /// # Errors
    /// [`SendError`] with the message, if it was not accepted.
    pub fn try_tell<M: Message>(&self, message: M) -> Result<Told, SendError<M>> {
        self.destination().try_tell(message)
    }

    /// See [`Handle::ask`](crate::actor::Handle::ask).
    pub fn ask<M: Message>(&self, message: M) -> Ask<'static, M> {
        Ask::new(self.destination(), message, true)
    }

    /// See [`Handle::try_ask`](crate::actor::Handle::try_ask).
    pub fn try_ask<M: Message>(&self, message: M) -> Ask<'static, M> {
        Ask::new(self.destination(), message, false)
    }

    /// See [`Handle::blocking_tell`](crate::actor::Handle::blocking_tell).
    ///
    /// # Errors
    /// As there.
    pub fn blocking_tell<M: Message>(&self, message: M) -> Result<Told, SendError<M>> {
        wait(message, |message| self.tell(message))
            .unwrap_or_else(|it| Err(SendError::InRuntime(it)))
    }

    /// See [`Handle::blocking_ask`](crate::actor::Handle::blocking_ask).
    ///
    /// # Errors
    /// As there.
    pub fn blocking_ask<M: Message>(&self, message: M) -> Result<M::Response, AskError<M>> {
        wait(message, |message| self.ask(message)).unwrap_or_else(|it| Err(AskError::InRuntime(it)))
    }

    /// The actor that handles this message, to be kept. It stays reachable after the routes close, for
    /// as long as its mailbox is open.
    ///
    /// # Errors
    /// [`Unrouted`] if no actor declared the message.
    pub fn recipient<M: Message>(&self) -> Result<Recipient<M>, Unrouted> {
        self.find().ok_or(Unrouted {
            message: type_name::<M>(),
        })
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Routes")
            .field("messages", &table.0.len())
            .field("closed", &self.0.closed)
            .finish()
    }
}

/// The identity: what a `TypeId` gives is a hash already.
#[derive(Default)]
struct TypeIdHasher(u64);

impl Hasher for TypeIdHasher {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
