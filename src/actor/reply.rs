//! Reply tokens, and the batches that carry them.

use super::name::short_type_name;
use super::{ActorName, AskError, Message};
use crate::mailbox::{Duty, Outcome};
use std::any::type_name;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use tokio::time::Instant;

/// What travels back in a message's cell.
pub(crate) enum Answer<M: Message> {
    Replied(Result<M::Response, M::Error>),
    Panicked(Arc<str>),
    Cancelled,
    NoReply,
    /// The actor ended first, and the message comes back.
    Stopped(M),
    /// A later message pushed it out of a full mailbox, and it comes back.
    Evicted(M),
}

impl<M: Message> Answer<M> {
    /// What the asker gets of it; `actor` is who gave it.
    #[inline]
    pub(super) fn into_result(
        self,
        actor: impl FnOnce() -> ActorName,
    ) -> Result<M::Response, AskError<M>> {
        let message = type_name::<M>();
        match self {
            Self::Replied(Ok(response)) => Ok(response),
            Self::Replied(Err(error)) => Err(AskError::Handler(error)),
            Self::Panicked(text) => Err(AskError::Panicked {
                actor: actor(),
                message,
                text,
            }),
            Self::Cancelled => Err(AskError::Cancelled {
                actor: actor(),
                message,
            }),
            Self::NoReply => Err(AskError::NoReply {
                actor: actor(),
                message,
            }),
            Self::Stopped(message) => Err(AskError::Stopped(message)),
            Self::Evicted(message) => Err(AskError::Evicted(message)),
        }
    }
}

/// Where a token reports what became of its message.
pub(crate) trait Ledger: Send + Sync {
    /// Counts a message that was running.
    fn settle(&self, outcome: Outcome);
    /// A told message failed, and nobody will see its error.
    fn told_failed(&self, message: &'static str);
}

/// The right and duty to answer one message.
///
/// It can be kept, sent to a task, or passed on inside another message. Dropping it answers
/// [`NoReply`](super::AskError::NoReply), or [`Panicked`](super::AskError::Panicked) and
/// [`Cancelled`](super::AskError::Cancelled) if a panic or a kill of the handler drops it.
#[must_use = "dropping a token answers `NoReply`"]
pub struct Reply<M: Message> {
    /// `None` once the token is used.
    open: Option<Open<M>>,
}

/// The cell to answer into, and where to count it.
type Open<M> = (Duty<M, Answer<M>>, Arc<dyn Ledger>);

impl<M: Message> Reply<M> {
    pub(crate) fn new(duty: Duty<M, Answer<M>>, ledger: Arc<dyn Ledger>) -> Self {
        Self {
            open: Some((duty, ledger)),
        }
    }

    /// Answers. Does nothing visible if the message was told, or its asker has gone.
    pub fn send(mut self, answer: Result<M::Response, M::Error>) {
        let Some((cell, ledger)) = self.open.take() else {
            return;
        };
        // Counted first: whoever has the answer finds it in the account.
        if cell.decide() {
            ledger.settle(if answer.is_ok() {
                Outcome::Ok
            } else {
                Outcome::Failed
            });
        }
        if answer.is_err() && !cell.was_asked() {
            ledger.told_failed(type_name::<M>());
        }
        cell.answer(Answer::Replied(answer));
    }

    /// Answers `Ok`.
    pub fn ok(self, response: M::Response) {
        self.send(Ok(response));
    }

    /// Answers `Err`.
    pub fn err(self, error: M::Error) {
        self.send(Err(error));
    }

    /// Whether the asker has gone, so that nobody will see an answer. Never true for a tell, whose
    /// sender wants no answer in the first place.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|(cell, _)| cell.is_abandoned())
    }

    /// When the asker's time is up. It may be gone earlier: see [`is_abandoned`](Self::is_abandoned).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.open.as_ref().and_then(|(cell, _)| cell.deadline())
    }

    /// Whether the sender asked, and did not tell.
    #[must_use]
    pub fn was_asked(&self) -> bool {
        self.open.as_ref().is_some_and(|(cell, _)| cell.was_asked())
    }
}

impl<M: Message> Drop for Reply<M> {
    fn drop(&mut self) {
        let Some((cell, ledger)) = self.open.take() else {
            return;
        };
        if let Some((cell, decides)) = cell.token_dropped() {
            if decides {
                ledger.settle(Outcome::Unanswered);
            }
            cell.answer(Answer::NoReply);
        }
    }
}

impl<M: Message> fmt::Debug for Reply<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("message", &short_type_name::<M>())
            .finish_non_exhaustive()
    }
}

/// Consecutive messages of one type from the head of the queue, each with its token. Never empty when
/// it is received.
pub struct Batch<M: Message> {
    first: Option<(M, Reply<M>)>,
    rest: std::vec::IntoIter<(M, Reply<M>)>,
}

impl<M: Message> Batch<M> {
    pub(crate) fn new(first: (M, Reply<M>), rest: Vec<(M, Reply<M>)>) -> Self {
        Self {
            first: Some(first),
            rest: rest.into_iter(),
        }
    }
}

impl<M: Message> Iterator for Batch<M> {
    type Item = (M, Reply<M>);

    fn next(&mut self) -> Option<Self::Item> {
        self.first.take().or_else(|| self.rest.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = usize::from(self.first.is_some()) + self.rest.len();
        (len, Some(len))
    }
}

impl<M: Message> ExactSizeIterator for Batch<M> {}

impl<M: Message> FusedIterator for Batch<M> {}

impl<M: Message> fmt::Debug for Batch<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("message", &short_type_name::<M>())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
