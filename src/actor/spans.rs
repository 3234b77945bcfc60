//! A span around each handler, linked to that of its sender, if a subscriber asks for them.
//!
//! Handlers run in a span `handle` of the target `postroom::handler` at the level `DEBUG`, with the fields `actor` and
//! `message`. It has no parent, so that messages which cause messages nest nothing; it follows from the span in which
//! the message was sent. Nobody asking for it, all it costs is to look whether anybody does.

use super::guard::caught;
use super::resident::Resident;
use super::{Actor, Message};
use crate::mailbox::{Begin, Letter, Sequel, SequelInPlace, Start, StartInPlace};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing::{Level, Span};

use super::reply::Answer;

/// Whether a subscriber asks for them.
#[inline]
pub(super) fn are_wanted() -> bool {
    Level::DEBUG <= STATIC_MAX_LEVEL
        && Level::DEBUG <= LevelFilter::current()
        && would_be_recorded()
}

/// A subscriber is the user's code: one that panics, which the panic hook says, asks for nothing.
#[cold]
fn would_be_recorded() -> bool {
    caught(|| tracing::span_enabled!(target: "postroom::handler", Level::DEBUG)).unwrap_or(false)
}

/// The span that this thread is in, to be linked.
pub(super) fn current() -> Option<Span> {
    caught(Span::current).filter(|span| !span.is_none())
}

/// The span of a message's sender.
pub(super) fn of_sender<M: Message>(letter: &Letter<M, Answer<M>>) -> Option<Span> {
    let span = letter.terms().more()?.span.as_ref()?;
    caught(|| span.clone())
}

/// Begins something that runs in a span.
pub(super) struct InSpan<T> {
    begin: T,
    /// What the span follows from. `None`: no span is wanted.
    link: Option<Span>,
}

impl<T> InSpan<T> {
    pub(super) const fn new(begin: T, link: Option<Span>) -> Self {
        Self { begin, link }
    }
}

impl<A: Actor, T: Start<Resident<A>>> Start<Resident<A>> for InSpan<T> {
    type Output = T::Output;

    fn start(
        self,
        state: &mut Resident<A>,
    ) -> (
        impl Begin<Future = impl Future<Output = Self::Output> + Send> + Send,
        impl Sequel<Self::Output>,
    ) {
        let actor = state.ctx.shared.name.clone();
        let link = self.link;
        let (begin, sequel) = self.begin.start(state);
        let message = message_of(&sequel);
        (move || spanned(begin, &actor, message, link), sequel)
    }
}

impl<A: Actor, T: StartInPlace<Resident<A>>> StartInPlace<Resident<A>> for InSpan<T> {
    type Output = T::Output;
    type Receipt = T::Receipt;

    fn start(
        self,
        state: &mut Resident<A>,
    ) -> (
        impl Begin<Future = impl Future<Output = Self::Output> + Send> + Send,
        impl SequelInPlace<Self::Output, Receipt = Self::Receipt>,
    ) {
        let actor = state.ctx.shared.name.clone();
        let link = self.link;
        let (begin, sequel) = self.begin.start(state);
        let message = message_of_later(&sequel);
        (move || spanned(begin, &actor, message, link), sequel)
    }
}

fn message_of<O, Q: Sequel<O>>(_: &Q) -> &'static str {
    Q::message()
}

fn message_of_later<O, Q: SequelInPlace<O>>(_: &Q) -> &'static str {
    Q::Later::message()
}

/// Makes a future that runs in a span, if one is wanted and its subscriber does not panic.
fn spanned<B: FnOnce() -> F, F>(
    begin: B,
    actor: &str,
    message: &'static str,
    link: Option<Span>,
) -> Spanned<B, F> {
    let follow = |link: Span| {
        let span = tracing::debug_span!(
            target: "postroom::handler",
            parent: None,
            "handle",
            actor,
            message,
        );
        span.follows_from(&link);
        span
    };
    let span = link.and_then(|link| caught(|| follow(link)));
    let span = span.unwrap_or_else(Span::none);
    Spanned {
        begin: Some(begin),
        future: None,
        span,
    }
}

pin_project! {
    struct Spanned<B, F> {
        // Called in the span as well, at the first poll.
        begin: Option<B>,
        #[pin]
        future: Option<F>,
        span: Span,
    }
}

impl<B: FnOnce() -> F, F: Future> Future for Spanned<B, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _entered = this.span.enter();
        if let Some(begin) = this.begin.take() {
            this.future.set(Some(begin()));
        }
        match this.future.as_pin_mut() {
            Some(future) => future.poll(cx),
            None => {
                unreachable!("it is set by the first poll, and not polled again if that panicked")
            }
        }
    }
}
