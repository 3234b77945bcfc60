//! Registering actors that are restarted together.

use super::builder::{ActorRegistryBuilder, Slot};
use super::registration::Registration;
use crate::actor::{Actor, Mould};
use crate::supervision::{self, RestartPolicy, Strategy};
use std::fmt;
use std::sync::Arc;

/// Actors that are restarted together, being registered. Made by [`ActorRegistryBuilder::group`].
///
/// A member that fails is restarted as its own policy says, at its own intensity, after its own backoff; the
/// [`Strategy`] says which of its siblings are restarted with it. Those restarts count against nobody. If a member
/// fails for good, the siblings that would have been restarted with it are stopped.
///
/// ```
/// use postroom::registry::ActorRegistry;
/// use postroom::supervision::{RestartPolicy, Strategy};
/// # use postroom::actor::Actor;
/// # use std::convert::Infallible;
/// # struct Connection;
/// # struct Session;
/// # impl Actor for Connection { type Error = Infallible; }
/// # impl Actor for Session { type Error = Infallible; }
/// # fn main() -> Result<(), postroom::registry::BuildError> {
/// let mut builder = ActorRegistry::builder();
/// let mut group = builder.group(Strategy::RestForOne);
/// group.supervise(|| Connection, RestartPolicy::permanent()).register()?;
/// // What a session knows is worth nothing on a new connection, so it is restarted with it.
/// group.supervise(|| Session, RestartPolicy::permanent()).register()?;
/// # Ok(())
/// # }
/// ```
pub struct Group<'b> {
    builder: &'b mut ActorRegistryBuilder,
    group: Arc<supervision::Group>,
}

impl ActorRegistryBuilder {
    /// Begins a group of actors that are restarted together. Its members are all given as factories: a plain
    /// value cannot be restarted.
    pub fn group(&mut self, strategy: Strategy) -> Group<'_> {
        Group {
            builder: self,
            group: supervision::Group::new(strategy),
        }
    }
}

impl Group<'_> {
    /// Adds a member; see [`ActorRegistryBuilder::supervise`].
    pub fn supervise<A: Actor>(
        &mut self,
        factory: impl FnMut() -> A + Send + 'static,
        policy: RestartPolicy,
    ) -> Registration<&mut ActorRegistryBuilder, A> {
        self.member(Mould::factory(factory, policy), None)
    }

    /// Adds a member in a place that was reserved; see [`ActorRegistryBuilder::fill_supervised`].
    pub fn fill_supervised<A: Actor>(
        &mut self,
        slot: Slot<A>,
        factory: impl FnMut() -> A + Send + 'static,
        policy: RestartPolicy,
    ) -> Registration<&mut ActorRegistryBuilder, A> {
        self.member(Mould::factory(factory, policy), Some(slot))
    }

    fn member<A: Actor>(
        &mut self,
        mould: Mould<A>,
        slot: Option<Slot<A>>,
    ) -> Registration<&mut ActorRegistryBuilder, A> {
        let mut registration = Registration::new(&mut *self.builder, mould, slot);
        registration.description.group = Some(Arc::clone(&self.group));
        registration
    }
}

impl fmt::Debug for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.group.fmt(f)
    }
}
