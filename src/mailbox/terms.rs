//! What travels with a message besides itself.

use tokio::time::Instant;
use tracing::Span;

/// When its handler should be done, and the span that its sender was in. As small as the deadline alone: the span is
/// kept only if a subscriber wants it.
#[derive(Debug)]
pub(crate) enum Terms {
    None,
    Deadline(Instant),
    Linked(Box<Linked>),
}

#[derive(Debug)]
pub(crate) struct Linked {
    deadline: Option<Instant>,
    /// Kept open until the handler's span is linked to it.
    span: Span,
}

const _: () = assert!(size_of::<Terms>() == size_of::<Option<Instant>>());

impl Terms {
    #[inline]
    pub(crate) fn new(deadline: Option<Instant>, span: Option<Span>) -> Self {
        match (deadline, span) {
            (deadline, Some(span)) => Self::Linked(Box::new(Linked { deadline, span })),
            (Some(deadline), None) => Self::Deadline(deadline),
            (None, None) => Self::None,
        }
    }

    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::None => None,
            Self::Deadline(deadline) => Some(*deadline),
            Self::Linked(linked) => linked.deadline,
        }
    }

    #[inline]
    pub(crate) fn span(&self) -> Option<&Span> {
        match self {
            Self::Linked(linked) => Some(&linked.span),
            Self::None | Self::Deadline(_) => None,
        }
    }
}

impl From<Option<Instant>> for Terms {
    #[inline]
    fn from(deadline: Option<Instant>) -> Self {
        Self::new(deadline, None)
    }
}
