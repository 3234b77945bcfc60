//! A span around each handler, linked to that of its sender, if a subscriber asks for them.
//!
//! Handlers run in a span `handle` of the target `postroom::handler` at the level `DEBUG`, with the fields `actor` and
//! `message`. It has no parent, so that messages which cause messages nest nothing; it follows from the span in which
//! the message was sent. Nobody asking for it, all it costs is to look whether anybody does.

use super::resident::Resident;
use super::{Actor, Message};
use crate::mailbox::{
    Ending, Letter, Receipt, Run, RunInPlace, Start, StartInPlace, Terms, Verdict,
};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;
use tracing::{Level, Span};

use super::reply::Answer;

/// Whether a subscriber asks for them.
#[inline]
pub(super) fn are_wanted() -> bool {
    tracing::span_enabled!(target: "postroom::handler", Level::DEBUG)
}

/// The span that this thread is in, to be linked if that is wanted.
#[inline]
fn link() -> Option<Span> {
    if are_wanted() { current() } else { None }
}

#[cold]
fn current() -> Option<Span> {
    Some(Span::current()).filter(|span| !span.is_none())
}

/// A message that is told from this thread's span.
#[inline]
pub(super) fn tell<M: Message>(message: M) -> Letter<M, Answer<M>> {
    Letter::tell_under(message, Terms::new(None, link()))
}

/// A message that is asked from this thread's span, and its asker's side.
#[inline]
pub(super) fn ask<M: Message>(
    message: M,
    deadline: Option<Instant>,
) -> (Letter<M, Answer<M>>, Receipt<M, Answer<M>>) {
    Letter::ask(message, Terms::new(deadline, link()))
}

/// Begins something that runs in a span.
pub(super) struct InSpan<T> {
    begin: T,
    link: Span,
}

impl<T> InSpan<T> {
    pub(super) const fn new(begin: T, link: Span) -> Self {
        Self { begin, link }
    }
}

impl<A: Actor, T: Start<Resident<A>>> Start<Resident<A>> for InSpan<T> {
    fn start(self, state: &mut Resident<A>) -> impl Run {
        let actor = Arc::clone(&state.ctx.shared.name);
        Spanned {
            run: self.begin.start(state),
            link: self.link,
            actor,
            span: None,
        }
    }
}

impl<A: Actor, T: StartInPlace<Resident<A>>> StartInPlace<Resident<A>> for InSpan<T> {
    type Answer = T::Answer;
    type Receipt = T::Receipt;

    fn start(
        self,
        state: &mut Resident<A>,
    ) -> impl RunInPlace<Answer = Self::Answer, Receipt = Self::Receipt> {
        let actor = Arc::clone(&state.ctx.shared.name);
        Spanned {
            run: self.begin.start(state),
            link: self.link,
            actor,
            span: None,
        }
    }
}

pin_project! {
    struct Spanned<R> {
        #[pin]
        run: R,
        link: Span,
        actor: Arc<str>,
        // Made at the first poll: a subscriber is the user's code.
        span: Option<Span>,
    }
}

impl<R: Run> Run for Spanned<R> {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict> {
        let this = self.project();
        let span = this.span.get_or_insert_with(|| {
            let message = this.run.message();
            let span = tracing::debug_span!(
                target: "postroom::handler",
                parent: None,
                "handle",
                actor = &**this.actor,
                message,
            );
            span.follows_from(std::mem::replace(this.link, Span::none()));
            span
        });
        let _entered = span.enter();
        this.run.poll(cx)
    }

    fn end(self: Pin<&mut Self>, ending: &Ending) -> Option<Arc<str>> {
        self.project().run.end(ending)
    }

    fn message(&self) -> &'static str {
        self.run.message()
    }
}

impl<R: RunInPlace> RunInPlace for Spanned<R> {
    type Answer = R::Answer;
    type Receipt = R::Receipt;

    fn answer(self: Pin<&mut Self>) -> Self::Answer {
        self.project().run.answer()
    }

    fn defer(self: Pin<&mut Self>) -> Self::Receipt {
        self.project().run.defer()
    }
}
