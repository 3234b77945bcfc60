//! Who looks on while a handler runs: a span around it, its time for a histogram.

#[cfg(feature = "metrics")]
use super::samples::{self, Timed};
use super::spans::{self, InSpan};
use tracing::Span;

/// What somebody wants to know of a handler.
pub(super) struct Watch {
    /// The sender's span, which may be none. `None`: no spans are wanted.
    link: Option<Span>,
    #[cfg(feature = "metrics")]
    time: bool,
}

/// Begins something that is watched.
#[cfg(not(feature = "metrics"))]
pub(super) type Watched<T> = InSpan<T>;
/// Begins something that is watched.
#[cfg(feature = "metrics")]
pub(super) type Watched<T> = Timed<InSpan<T>>;

impl Watch {
    /// `None`: nobody wants anything. The link is the sender's span. Never panics, for the turn may be lent meanwhile.
    #[inline(always)]
    #[expect(clippy::inline_always)] // a comparison or two in each handling
    pub(super) fn look(link: impl FnOnce() -> Option<Span>) -> Option<Self> {
        let span = spans::are_wanted();
        #[cfg(feature = "metrics")]
        let time = samples::is_due();
        #[cfg(not(feature = "metrics"))]
        let time = false;
        if !span && !time {
            return None;
        }
        Some(Self {
            link: span.then(|| link().unwrap_or_else(Span::none)),
            #[cfg(feature = "metrics")]
            time,
        })
    }

    pub(super) fn over<T>(self, begin: T) -> Watched<T> {
        let spanned = InSpan::new(begin, self.link);
        #[cfg(feature = "metrics")]
        let spanned = Timed::new(spanned, self.time);
        spanned
    }
}
