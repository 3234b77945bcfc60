//! A message on its way, with what travels with it.
//!
//! Nobody wanting more than the message, it costs a look at whether anybody does, and the rest is constant.

use super::reply::Answer;
#[cfg(feature = "metrics")]
use super::samples;
use super::{Message, spans};
use crate::mailbox::{Letter, More, Receipt, Terms};
use tokio::time::Instant;

/// A message that is told by this thread.
#[inline(always)]
#[expect(clippy::inline_always)] // a few instructions in each send
pub(super) fn tell<M: Message>(message: M) -> Letter<M, Answer<M>> {
    let wanted = Wanted::look();
    if wanted.is_any() {
        return Letter::tell_under(message, wanted.terms(None));
    }
    Letter::tell(message)
}

/// A message that is asked by this thread, and its asker's side.
#[inline(always)]
#[expect(clippy::inline_always)] // a few instructions in each send
pub(super) fn ask<M: Message>(
    message: M,
    deadline: Option<Instant>,
) -> (Letter<M, Answer<M>>, Receipt<M, Answer<M>>) {
    let wanted = Wanted::look();
    if wanted.is_any() {
        return Letter::ask(message, wanted.terms(deadline));
    }
    Letter::ask(message, deadline)
}

/// What somebody wants to know of a message.
#[derive(Clone, Copy)]
struct Wanted {
    span: bool,
    #[cfg(feature = "metrics")]
    time: bool,
}

impl Wanted {
    #[inline]
    fn look() -> Self {
        Self {
            span: spans::are_wanted(),
            #[cfg(feature = "metrics")]
            time: samples::is_due(),
        }
    }

    #[inline]
    const fn is_any(self) -> bool {
        #[cfg(feature = "metrics")]
        if self.time {
            return true;
        }
        self.span
    }

    #[cold]
    fn terms(self, deadline: Option<Instant>) -> Terms {
        Terms::More(Box::new(More {
            deadline,
            span: self.span.then(spans::current).flatten(),
            #[cfg(feature = "metrics")]
            sent: self.time.then(Instant::now),
        }))
    }
}
