//! What can be sent to an actor.

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
pub trait Message: Send + 'static {
    /// What a handler answers when all goes well.
    type Response: Send + 'static;
    /// What a handler answers otherwise. [`Infallible`](std::convert::Infallible) if it cannot fail.
    type Error: Send + 'static;
    /// Whether an ask is handled even if its asker has gone while it was queued. A timeout still
    /// revokes it.
    const RUN_IF_ABANDONED: bool = false;
}
