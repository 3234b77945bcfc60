//! What travels with a message besides itself.

use super::waiting::unharmed;
use tokio::time::Instant;
use tracing::Span;

/// When its handler should be done, the span that its sender was in, and when it was sent. As small as the deadline
/// alone: the rest is kept only if somebody wants it.
#[derive(Debug)]
pub(crate) enum Terms {
    None,
    Deadline(Instant),
    More(Box<More>),
}

/// Terms that are rare.
#[derive(Debug, Default)]
pub(crate) struct More {
    pub(crate) deadline: Option<Instant>,
    /// Kept open until the handler's span is linked to it.
    pub(crate) span: Option<Span>,
    /// For one message in so many.
    #[cfg(feature = "metrics")]
    pub(crate) sent: Option<Instant>,
}

impl Drop for More {
    fn drop(&mut self) {
        // It may be the last of the span, whose subscriber is the user's code: whoever drops a message is not to blame.
        if let Some(span) = self.span.take() {
            unharmed(|| drop(span));
        }
    }
}

const _: () = assert!(size_of::<Terms>() == size_of::<Option<Instant>>());

impl Terms {
    /// Whether there are none.
    #[inline]
    pub(super) const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::None => None,
            Self::Deadline(deadline) => Some(*deadline),
            Self::More(more) => more.deadline,
        }
    }

    #[inline]
    pub(crate) fn more(&self) -> Option<&More> {
        match self {
            Self::More(more) => Some(more),
            Self::None | Self::Deadline(_) => None,
        }
    }
}

impl From<Option<Instant>> for Terms {
    #[inline]
    fn from(deadline: Option<Instant>) -> Self {
        deadline.map_or(Self::None, Self::Deadline)
    }
}
