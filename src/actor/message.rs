//! What can be sent to an actor.

use super::Redelivery;

/// A message, with the answer that whoever handles it gives.
///
/// The error belongs to the message and not to the actor, so that recipients and routes, which do not
/// know the actor, keep it typed.
///
/// ```
/// use postroom::actor::Message;
///
/// struct Add(i64);
///
/// impl Message for Add {
///     type Response = i64;
///     type Error = std::num::TryFromIntError;
/// }
/// ```
pub trait Message: Sized + Send + 'static {
    /// What a handler answers when all goes well.
    type Response: Send + 'static;
    /// What a handler answers otherwise. [`Infallible`](std::convert::Infallible) if it cannot fail.
    type Error: Send + 'static;
    /// Whether an ask is handled even if its asker has gone while it was queued. A timeout still
    /// revokes it.
    const RUN_IF_ABANDONED: bool = false;
    /// Whether a message whose handler panicked is handled again, before all others, by the next incarnation of its
    /// actor, and how often. Its asker waits meanwhile. If its handler panics then too, or there is no next
    /// incarnation, it is set aside: its asker is told of the panic, and the report of it
    /// ([`Exit::set_aside`](super::Exit::set_aside)).
    ///
    /// This is for handlers of one message at a time ([`Handler`](super::Handler)) that may run twice. It has no
    /// meaning for those that receive reply tokens.
    ///
    /// ```
    /// use postroom::actor::{Message, Redelivery};
    /// # use std::convert::Infallible;
    ///
    /// #[derive(Clone)]
    /// struct Import(String);
    ///
    /// impl Message for Import {
    ///     type Response = ();
    ///     type Error = Infallible;
    ///     const REDELIVERY: Redelivery<Self> = Redelivery::up_to(2);
    /// }
    /// ```
    const REDELIVERY: Redelivery<Self> = Redelivery::NEVER;
}
