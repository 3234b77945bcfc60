//! An actor known only by one message it takes.

use super::delivery::Destination;
use super::held::Held;
use super::target::Target;
use super::{ActorId, ActorName, Ask, AskError, Message, SendError, Tell, Told, wait};
use crate::mailbox::MailboxStats;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Some actor that takes messages of type `M`. Like a handle it is strong, cheap to clone, and valid
/// across restarts; the message's error stays typed.
pub struct Recipient<M: Message>(pub(super) Held<dyn Target<M>>);

impl<M: Message> Recipient<M> {
    /// See [`Handle::tell`](super::Handle::tell).
    pub fn tell(&self, message: M) -> Tell<'_, M> {
        Tell::new(Destination::Borrowed(&*self.0), message)
    }

    /// See [`Handle::try_tell`](super::Handle::try_tell).
    ///
    /// # Errors
    /// [`SendError`] with the message, if it was not accepted.
    pub fn try_tell(&self, message: M) -> Result<Told, SendError<M>> {
        Destination::Borrowed(&*self.0).try_tell(message)
    }

    /// See [`Handle::ask`](super::Handle::ask).
    pub fn ask(&self, message: M) -> Ask<'_, M> {
        Ask::new(Destination::Borrowed(&*self.0), message, true)
    }

    /// See [`Handle::try_ask`](super::Handle::try_ask).
    pub fn try_ask(&self, message: M) -> Ask<'_, M> {
        Ask::new(Destination::Borrowed(&*self.0), message, false)
    }

    /// See [`Handle::blocking_tell`](super::Handle::blocking_tell).
    ///
    /// # Errors
    /// As there.
    pub fn blocking_tell(&self, message: M) -> Result<Told, SendError<M>> {
        wait(message, |message| self.tell(message))
            .unwrap_or_else(|it| Err(SendError::InRuntime(it)))
    }

    /// See [`Handle::blocking_ask`](super::Handle::blocking_ask).
    ///
    /// # Errors
    /// As there.
    pub fn blocking_ask(&self, message: M) -> Result<M::Response, AskError<M>> {
        wait(message, |message| self.ask(message)).unwrap_or_else(|it| Err(AskError::InRuntime(it)))
    }

    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> &ActorName {
        self.0.name()
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

    pub(crate) fn into_destination(self) -> Destination<'static, M> {
        Destination::Owned(self.0)
    }
}

impl<M: Message> Clone for Recipient<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Message> PartialEq for Recipient<M> {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl<M: Message> Eq for Recipient<M> {}

impl<M: Message> Hash for Recipient<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl<M: Message> fmt::Debug for Recipient<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({} {:?})", self.name(), self.id())
    }
}
