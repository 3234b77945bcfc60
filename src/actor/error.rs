//! What can go wrong with a send, and whether the handler ran.

use super::name::short_type_name;
use super::{ActorName, Message};
use std::any::type_name;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why a tell was not accepted. The message comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<M> {
    /// No slot was free, and the send does not wait for one.
    Full(M),
    /// The actor accepts nothing more, or has ended.
    Closed(M),
    /// The timeout passed while the send waited for room.
    Expired(M),
    /// The mailbox is full, and the sender is the actor itself, which alone could make room.
    WouldDeadlock(M),
    /// No actor of the registry handles this message.
    Unrouted(M),
    /// A blocking send inside a runtime, which it would hold up.
    InRuntime(M),
}

impl<M> SendError<M> {
    /// The message that was not accepted.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(message)
            | Self::Closed(message)
            | Self::Expired(message)
            | Self::WouldDeadlock(message)
            | Self::Unrouted(message)
            | Self::InRuntime(message) => message,
        }
    }

    /// The same error without the message: small, and convenient with `?`.
    #[must_use]
    pub fn without_message(self) -> SendError<()> {
        self.map(|_| ())
    }

    pub(crate) fn map<N>(self, f: impl FnOnce(M) -> N) -> SendError<N> {
        match self {
            Self::Full(message) => SendError::Full(f(message)),
            Self::Closed(message) => SendError::Closed(f(message)),
            Self::Expired(message) => SendError::Expired(f(message)),
            Self::WouldDeadlock(message) => SendError::WouldDeadlock(f(message)),
            Self::Unrouted(message) => SendError::Unrouted(f(message)),
            Self::InRuntime(message) => SendError::InRuntime(f(message)),
        }
    }

    const fn text(&self) -> (&'static str, &'static str) {
        match self {
            Self::Full(_) => ("Full", "the mailbox is full"),
            Self::Closed(_) => ("Closed", "the actor accepts no more messages"),
            Self::Expired(_) => (
                "Expired",
                "the timeout passed before the message was handled",
            ),
            Self::WouldDeadlock(_) => ("WouldDeadlock", "the actor would wait for itself"),
            Self::Unrouted(_) => ("Unrouted", "no actor of the registry handles this message"),
            Self::InRuntime(_) => ("InRuntime", IN_RUNTIME),
        }
    }
}

const IN_RUNTIME: &str = "a blocking send would hold the runtime up: await the other one";

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.text().0, type_name::<M>())
    }
}

impl<M> fmt::Display for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        not_sent::<M>(f, self.text().1)
    }
}

impl<M> Error for SendError<M> {}

fn not_sent<M>(f: &mut fmt::Formatter<'_>, why: &str) -> fmt::Result {
    // `()` stands for a message that has been taken out.
    match type_name::<M>() {
        "()" => f.write_str(why),
        _ => write!(f, "`{}` was not handled: {why}", short_type_name::<M>()),
    }
}

/// Whether the handler of a message has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Executed {
    /// It has not started and never will: sending again is safe.
    No,
    /// It has run, at least in part.
    Yes,
    /// It is still running, and nobody listens any more.
    Unknown,
}

/// Why an ask got no response.
#[non_exhaustive]
pub enum AskError<M: Message> {
    /// Not handled: no slot was free, and the ask does not wait for one.
    Full(M),
    /// Not handled: the actor accepts nothing more, or has ended.
    Closed(M),
    /// Not handled: the timeout passed while the message waited for room or in the queue.
    Expired(M),
    /// Not handled: the actor ended while the message was queued.
    Stopped(M),
    /// Not handled: a later message pushed it out of a full mailbox.
    Evicted(M),
    /// Not sent: the asker is the actor itself, which would wait for itself for ever.
    WouldDeadlock(M),
    /// Not sent: no actor of the registry handles this message.
    Unrouted(M),
    /// Not sent: a blocking ask inside a runtime, which it would hold up.
    InRuntime(M),
    /// The handler answered with an error.
    Handler(M::Error),
    /// The handler panicked before it answered.
    Panicked {
        /// The actor's name.
        actor: ActorName,
        /// The message's type.
        message: &'static str,
        /// What the panic said.
        text: Arc<str>,
    },
    /// A kill dropped the handler before it answered.
    Cancelled {
        /// The actor's name.
        actor: ActorName,
        /// The message's type.
        message: &'static str,
    },
    /// The reply token was dropped without an answer.
    NoReply {
        /// The actor's name.
        actor: ActorName,
        /// The message's type.
        message: &'static str,
    },
    /// The timeout passed while the handler was running; it runs on.
    TimedOut {
        /// The actor's name.
        actor: ActorName,
        /// The message's type.
        message: &'static str,
    },
}

/// An [`AskError`] without the message: generic in the handler's error only, for use with `?`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskFailure<E> {
    /// See [`AskError::Full`].
    #[error("the mailbox is full")]
    Full,
    /// See [`AskError::Closed`].
    #[error("the actor accepts no more messages")]
    Closed,
    /// See [`AskError::Expired`].
    #[error("the timeout passed before the message was handled")]
    Expired,
    /// See [`AskError::Stopped`].
    #[error("the actor ended before the message was handled")]
    Stopped,
    /// See [`AskError::Evicted`].
    #[error("a later message pushed this one out of the full mailbox")]
    Evicted,
    /// See [`AskError::WouldDeadlock`].
    #[error("the actor would wait for itself")]
    WouldDeadlock,
    /// See [`AskError::Unrouted`].
    #[error("no actor of the registry handles this message")]
    Unrouted,
    /// See [`AskError::InRuntime`].
    #[error("{IN_RUNTIME}")]
    InRuntime,
    /// See [`AskError::Handler`].
    #[error(transparent)]
    Handler(E),
    /// See [`AskError::Panicked`].
    #[error("actor `{actor}` panicked while it handled `{message}`: {text}")]
    Panicked {
        /// The actor's name.
        actor: ActorName,
        /// The message's type.
        message: &'static str,
        /// What the panic said.
        text: Arc<str>,
    },
    /// See [`AskError::Cancelled`].
    #[error("actor `{actor}` was killed while it handled `{message}`")]
    Cancelled {
        /// The actor's name.
        actor: ActorName,
        /// The message's type.
        message: &'static str,
    },
    /// See [`AskError::NoReply`].
    #[error("actor `{actor}` dropped the reply token of `{message}`")]
    NoReply {
        /// The actor's name.
        actor: ActorName,
        /// The message's type.
        message: &'static str,
    },
    /// See [`AskError::TimedOut`].
    #[error("the timeout passed while actor `{actor}` was handling `{message}`")]
    TimedOut {
        /// The actor's name.
        actor: ActorName,
        /// The message's type.
        message: &'static str,
    },
}

impl<M: Message> AskError<M> {
    /// Whether the handler has run.
    pub const fn was_executed(&self) -> Executed {
        match self {
            Self::Full(_)
            | Self::Closed(_)
            | Self::Expired(_)
            | Self::Stopped(_)
            | Self::Evicted(_)
            | Self::WouldDeadlock(_)
            | Self::Unrouted(_)
            | Self::InRuntime(_) => Executed::No,
            Self::Handler(_)
            | Self::Panicked { .. }
            | Self::Cancelled { .. }
            | Self::NoReply { .. } => Executed::Yes,
            Self::TimedOut { .. } => Executed::Unknown,
        }
    }

    /// The message, if it was not handled.
    pub fn into_message(self) -> Option<M> {
        self.split().0
    }

    /// The same error without the message.
    pub fn without_message(self) -> AskFailure<M::Error> {
        self.split().1
    }

    fn split(self) -> (Option<M>, AskFailure<M::Error>) {
        match self {
            Self::Full(message) => (Some(message), AskFailure::Full),
            Self::Closed(message) => (Some(message), AskFailure::Closed),
            Self::Expired(message) => (Some(message), AskFailure::Expired),
            Self::Stopped(message) => (Some(message), AskFailure::Stopped),
            Self::Evicted(message) => (Some(message), AskFailure::Evicted),
            Self::WouldDeadlock(message) => (Some(message), AskFailure::WouldDeadlock),
            Self::Unrouted(message) => (Some(message), AskFailure::Unrouted),
            Self::InRuntime(message) => (Some(message), AskFailure::InRuntime),
            Self::Handler(error) => (None, AskFailure::Handler(error)),
            Self::Panicked {
                actor,
                message,
                text,
            } => (
                None,
                AskFailure::Panicked {
                    actor,
                    message,
                    text,
                },
            ),
            Self::Cancelled { actor, message } => (None, AskFailure::Cancelled { actor, message }),
            Self::NoReply { actor, message } => (None, AskFailure::NoReply { actor, message }),
            Self::TimedOut { actor, message } => (None, AskFailure::TimedOut { actor, message }),
        }
    }
}

impl<M: Message> From<SendError<M>> for AskError<M> {
    fn from(error: SendError<M>) -> Self {
        match error {
            SendError::Full(message) => Self::Full(message),
            SendError::Closed(message) => Self::Closed(message),
            SendError::Expired(message) => Self::Expired(message),
            SendError::WouldDeadlock(message) => Self::WouldDeadlock(message),
            SendError::Unrouted(message) => Self::Unrouted(message),
            SendError::InRuntime(message) => Self::InRuntime(message),
        }
    }
}

impl<M: Message> From<AskError<M>> for AskFailure<M::Error> {
    fn from(error: AskError<M>) -> Self {
        error.without_message()
    }
}

impl<M: Message<Error: fmt::Debug>> fmt::Debug for AskError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
            Self::Expired(_) => "Expired",
            Self::Stopped(_) => "Stopped",
            Self::Evicted(_) => "Evicted",
            Self::WouldDeadlock(_) => "WouldDeadlock",
            Self::Unrouted(_) => "Unrouted",
            Self::InRuntime(_) => "InRuntime",
            Self::Handler(error) => return f.debug_tuple("Handler").field(error).finish(),
            Self::Panicked {
                actor,
                message,
                text,
            } => {
                return write!(
                    f,
                    "Panicked {{ actor: {actor:?}, message: {message:?}, text: {text:?} }}"
                );
            }
            Self::Cancelled { actor, message } => return ran(f, "Cancelled", actor, message),
            Self::NoReply { actor, message } => return ran(f, "NoReply", actor, message),
            Self::TimedOut { actor, message } => return ran(f, "TimedOut", actor, message),
        };
        write!(f, "{name}({})", type_name::<M>())
    }
}

fn ran(f: &mut fmt::Formatter<'_>, name: &str, actor: &str, message: &str) -> fmt::Result {
    write!(f, "{name} {{ actor: {actor:?}, message: {message:?} }}")
}

impl<M: Message<Error: fmt::Display>> fmt::Display for AskError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => not_sent::<M>(f, "the mailbox is full"),
            Self::Closed(_) => not_sent::<M>(f, "the actor accepts no more messages"),
            Self::Expired(_) => not_sent::<M>(f, "the timeout passed first"),
            Self::Stopped(_) => not_sent::<M>(f, "the actor ended first"),
            Self::Evicted(_) => not_sent::<M>(f, "a later message pushed it out of the mailbox"),
            Self::WouldDeadlock(_) => not_sent::<M>(f, "the actor would wait for itself"),
            Self::Unrouted(_) => not_sent::<M>(f, "no actor of the registry handles this message"),
            Self::InRuntime(_) => not_sent::<M>(f, IN_RUNTIME),
            Self::Handler(error) => error.fmt(f),
            Self::Panicked {
                actor,
                message,
                text,
            } => {
                write!(
                    f,
                    "actor `{actor}` panicked while it handled `{message}`: {text}"
                )
            }
            Self::Cancelled { actor, message } => {
                write!(f, "actor `{actor}` was killed while it handled `{message}`")
            }
            Self::NoReply { actor, message } => {
                write!(f, "actor `{actor}` dropped the reply token of `{message}`")
            }
            Self::TimedOut { actor, message } => {
                write!(
                    f,
                    "the timeout passed while actor `{actor}` was handling `{message}`"
                )
            }
        }
    }
}

impl<M: Message<Error: Error + 'static>> Error for AskError<M> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Handler(error) => error.source(),
            _ => None,
        }
    }
}
