//! What an actor's own code can see and do.

use super::life::wait_for;
use super::shared::{LifeOf, Shared};
use super::{Actor, ActorId, ActorName, Handle, Level, WeakHandle};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// The actor seen from inside. It does not keep the actor alive.
pub struct Context<A: Actor> {
    pub(super) shared: Arc<Shared<A>>,
}

impl<A: Actor> Context<A> {
    /// A handle to the actor itself, unless the last one is gone.
    #[must_use]
    pub fn handle(&self) -> Option<Handle<A>> {
        self.weak().upgrade()
    }

    /// A handle to the actor itself that does not keep it alive.
    #[must_use]
    pub fn weak(&self) -> WeakHandle<A> {
        WeakHandle(Arc::downgrade(&self.shared))
    }

    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> &ActorName {
        &self.shared.name
    }

    /// The actor's number.
    #[must_use]
    pub fn id(&self) -> ActorId {
        self.shared.id()
    }

    /// Ends this incarnation after the handler that is running. An actor under a permanent policy
    /// starts anew, with its mailbox; any other stops for good, as by [`Handle::stop`].
    pub fn stop(&self) {
        self.shared.let_out();
    }

    /// See [`Handle::drain`]: final under every policy.
    pub fn drain(&self) {
        self.shared.raise(Level::Drain);
    }

    /// See [`Handle::kill`]: final under every policy.
    pub fn kill(&self) {
        self.shared.raise(Level::Kill);
    }

    /// Whether the actor has been asked to drain, stop or die.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.mailbox.level() > Level::Open || self.shared.mailbox.is_let_out()
    }

    /// Waits until someone outside asks the actor to drain, stop or die, or until it has ended by
    /// itself: for handlers that take long, and for tasks that work for the actor. The future does not
    /// keep the actor alive. A restart does not end the wait.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping it.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static + use<A> {
        wait_for(LifeOf(Arc::clone(&self.shared)), |life| {
            let over = life.0.mailbox.level() > Level::Open || life.exit().is_some();
            over.then_some(())
        })
    }
}

impl<A: Actor> Clone for Context<A> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<A: Actor> fmt::Debug for Context<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({} {:?})", self.name(), self.id())
    }
}
