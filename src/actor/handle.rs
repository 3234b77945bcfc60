//! What the rest of a program holds of an actor.

use super::delivery::Destination;
use super::held::Held;
use super::permit::{OwnedPermit, Permit, reserve, reserve_owned};
use super::shared::Shared;
use super::{
    Actor, ActorId, ActorName, Ask, AskError, Exit, Level, Message, Receive, Recipient, SendError,
    Tell, Told, wait,
};
use crate::mailbox::MailboxStats;
use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

/// A cheap, cloneable way to reach an actor.
///
/// Handles are strong: an actor that no registry holds drains and stops when its last handle,
/// recipient, permit and pending send are gone. They stay valid across restarts. Two handles are equal
/// if they reach the same actor.
pub struct Handle<A: Actor>(pub(super) Held<Shared<A>>);

impl<A: Actor> Handle<A> {
    fn to<M: Message>(&self) -> Destination<'_, M>
    where
        A: Receive<M>,
    {
        Destination::Borrowed(&*self.0)
    }

    /// Sends a message, waiting for room, and wants no answer.
    ///
    /// # Errors
    /// [`SendError`] with the message, if it was not accepted.
    ///
    /// # Cancel safety
    /// See [`Tell`].
    pub fn tell<M: Message>(&self, message: M) -> Tell<'_, M>
    where
        A: Receive<M>,
    {
        Tell::new(self.to(), message)
    }

    /// Sends a message if there is room now.
    ///
    /// # Errors
    /// [`SendError::Full`] if every slot is taken or someone waits for one; [`SendError::Closed`].
    pub fn try_tell<M: Message>(&self, message: M) -> Result<Told, SendError<M>>
    where
        A: Receive<M>,
    {
        self.to().try_tell(message)
    }

    /// Sends a message, waiting for room, and waits for its answer.
    ///
    /// # Errors
    /// [`AskError`] says whether the handler ran, and gives the message back if not.
    ///
    /// # Cancel safety
    /// See [`Ask`].
    pub fn ask<M: Message>(&self, message: M) -> Ask<'_, M>
    where
        A: Receive<M>,
    {
        Ask::new(self.to(), message, true)
    }

    /// Asks, but does not wait for room: [`AskError::Full`] instead.
    pub fn try_ask<M: Message>(&self, message: M) -> Ask<'_, M>
    where
        A: Receive<M>,
    {
        Ask::new(self.to(), message, false)
    }

    /// Tells from a thread, which waits for room.
    ///
    /// It has no timeout, which would need a runtime's clock: a thread that has a runtime's handle and wants one
    /// blocks that on [`tell`](Self::tell).
    ///
    /// # Errors
    /// As for [`tell`](Self::tell), and [`SendError::InRuntime`] inside a runtime (also on its threads for blocking
    /// work), where `tell` can be awaited, or blocked on with [`tokio::runtime::Handle::block_on`].
    pub fn blocking_tell<M: Message>(&self, message: M) -> Result<Told, SendError<M>>
    where
        A: Receive<M>,
    {
        wait(message, |message| self.tell(message))
            .unwrap_or_else(|it| Err(SendError::InRuntime(it)))
    }

    /// Asks from a thread, which waits for the answer. See [`blocking_tell`](Self::blocking_tell).
    ///
    /// # Errors
    /// As for [`ask`](Self::ask), and [`AskError::InRuntime`] inside a runtime.
    pub fn blocking_ask<M: Message>(&self, message: M) -> Result<M::Response, AskError<M>>
    where
        A: Receive<M>,
    {
        wait(message, |message| self.ask(message)).unwrap_or_else(|it| Err(AskError::InRuntime(it)))
    }

    /// Waits for a slot and keeps it for a message to come.
    ///
    /// # Errors
    /// [`SendError::Closed`]; [`SendError::WouldDeadlock`] if the actor itself would wait for room.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it leaves nothing behind.
    pub async fn reserve(&self) -> Result<Permit<'_, A>, SendError<()>> {
        reserve(&self.0).await
    }

    /// The same for a permit that can be kept or moved into a task.
    ///
    /// # Errors
    /// As for [`reserve`](Self::reserve).
    ///
    /// # Cancel safety
    /// As for [`reserve`](Self::reserve), and the handle is dropped.
    pub async fn reserve_owned(self) -> Result<OwnedPermit<A>, SendError<()>> {
        reserve_owned(self.0).await
    }

    /// Has the actor finish the handler that is running and give back what is queued: queued asks get
    /// [`AskError::Stopped`], told messages are reported.
    ///
    /// Returns at once and needs no room. Asking for less than was asked before does nothing.
    pub fn stop(&self) {
        self.0.raise(Level::Stop);
    }

    /// Has the actor accept nothing more and stop after it has handled everything it accepted.
    pub fn drain(&self) {
        self.0.raise(Level::Drain);
    }

    /// Has the actor drop the running handler at its next await, and give back what is queued.
    pub fn kill(&self) {
        self.0.raise(Level::Kill);
    }

    /// Waits until the actor has ended, and returns its report. Every call gets the same one.
    ///
    /// The future does not keep the actor alive: the handle may be dropped while it is awaited.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping it.
    pub fn closed(&self) -> impl Future<Output = Arc<Exit>> + Send + 'static + use<A> {
        self.0.shared().ended()
    }

    /// Waits until the actor has started for the first time.
    ///
    /// # Errors
    /// The report of an actor that ended without having started.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping it.
    pub async fn ready(&self) -> Result<(), Arc<Exit>> {
        self.0.life.started().await
    }

    /// Whether the actor has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.life.exit().is_some()
    }

    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> &ActorName {
        &self.0.name
    }

    /// The actor's number.
    #[must_use]
    pub fn id(&self) -> ActorId {
        self.0.id()
    }

    /// The mailbox at this instant.
    #[must_use]
    pub fn stats(&self) -> MailboxStats {
        self.0.stats()
    }

    /// The same actor, known only by one message it takes.
    #[must_use]
    pub fn recipient<M: Message>(&self) -> Recipient<M>
    where
        A: Receive<M>,
    {
        Recipient(self.0.as_other(|actor| actor as _))
    }

    /// A handle that does not keep the actor alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakHandle<A> {
        WeakHandle(self.0.downgrade())
    }
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Actor> PartialEq for Handle<A> {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl<A: Actor> Eq for Handle<A> {}

impl<A: Actor> Hash for Handle<A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl<A: Actor> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({} {:?})", self.name(), self.id())
    }
}

/// A handle that does not keep its actor alive.
pub struct WeakHandle<A: Actor>(pub(super) Weak<Shared<A>>);

impl<A: Actor> WeakHandle<A> {
    /// A strong handle, if the actor still has one.
    #[must_use]
    pub fn upgrade(&self) -> Option<Handle<A>> {
        Held::from_weak(&self.0).map(Handle)
    }
}

impl<A: Actor> Clone for WeakHandle<A> {
    fn clone(&self) -> Self {
        Self(Weak::clone(&self.0))
    }
}

impl<A: Actor> fmt::Debug for WeakHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.upgrade() {
            Some(handle) => write!(f, "WeakHandle({} {:?})", handle.name(), handle.id()),
            None => f.write_str("WeakHandle(gone)"),
        }
    }
}
