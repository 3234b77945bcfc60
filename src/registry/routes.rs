//! From a message's type to the actor that handles it.

use super::Unrouted;
use crate::actor::{Ask, Destination, Message, Recipient, SendError, Tell};
use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The recipients by message type. Each value is a `Recipient<M>` for the `M` of its key.
pub(super) type Table = HashMap<TypeId, Box<dyn Any + Send + Sync>>;

/// The routes of a registry: whoever holds them can send to its actors by message type.
///
/// Cheap to clone, and available from the builder on, so that actors can be given them. Until the
/// registry has started everything is unrouted; once its shutdown begins everything is closed.
#[derive(Clone)]
pub struct Routes(Arc<Inner>);

struct Inner {
    table: OnceLock<Table>,
    closed: AtomicBool,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner {
            table: OnceLock::new(),
            closed: AtomicBool::new(false),
        }))
    }

    pub(super) fn open(&self, table: Table) {
        // A registry starts once, so the routes are filled once.
        let _ = self.0.table.set(table);
    }

    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
    }

    fn find<M: Message>(&self) -> Option<&Recipient<M>> {
        self.0.table.get()?.get(&TypeId::of::<M>())?.downcast_ref()
    }

    fn destination<M: Message>(&self) -> Destination<'_, M> {
        if self.0.closed.load(Ordering::Acquire) {
            return Destination::Closed;
        }
        self.find()
            .map_or(Destination::Unrouted, Recipient::as_destination)
    }

    /// See [`Handle::tell`](crate::actor::Handle::tell).
    pub fn tell<M: Message>(&self, message: M) -> Tell<'_, M> {
        Tell::new(self.destination(), message)
    }

    /// See [`Handle::try_tell`](crate::actor::Handle::try_tell).
    ///
    /// # Errors
    /// [`SendError`] with the message, if it was not accepted.
    pub fn try_tell<M: Message>(&self, message: M) -> Result<(), SendError<M>> {
        self.destination().try_tell(message)
    }

    /// See [`Handle::ask`](crate::actor::Handle::ask).
    pub fn ask<M: Message>(&self, message: M) -> Ask<'_, M> {
        Ask::new(self.destination(), message, true)
    }

    /// See [`Handle::try_ask`](crate::actor::Handle::try_ask).
    pub fn try_ask<M: Message>(&self, message: M) -> Ask<'_, M> {
        Ask::new(self.destination(), message, false)
    }

    /// The actor that handles this message, to be kept. It stays reachable after the routes close, for
    /// as long as its mailbox is open.
    ///
    /// # Errors
    /// [`Unrouted`] if no actor declared the message.
    pub fn recipient<M: Message>(&self) -> Result<Recipient<M>, Unrouted> {
        self.find().cloned().ok_or(Unrouted {
            message: type_name::<M>(),
        })
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("messages", &self.0.table.get().map_or(0, HashMap::len))
            .field("closed", &self.0.closed)
            .finish()
    }
}
