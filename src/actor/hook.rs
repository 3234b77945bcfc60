//! `started` and `stopped`, which run in the seat like handlers.

use super::resident::Resident;
use super::{Actor, Context, StopReason};
use crate::mailbox::{Begin, Ending, Sequel, Start, Verdict};
use std::any::type_name;
use std::error::Error;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

/// What [`Actor::started`] returns for an actor that does nothing there.
pub(super) struct NothingToStart<E>(PhantomData<fn() -> E>);

impl<E> NothingToStart<E> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<E> Future for NothingToStart<E> {
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(()))
    }
}

/// Whether an actor of this type has started as soon as it is made. False only means that its hook is called.
#[inline]
pub(super) fn has_nothing_to_start<A: Actor>() -> bool {
    fn name_of<'a, A: Actor, F>(_: impl FnOnce(&'a mut A, &'a Context<A>) -> F) -> &'static str {
        type_name::<F>()
    }
    // By its name, for the future borrows the actor, and so has no type id. Nothing outside of this module makes one,
    // and no other type has its path.
    name_of(|actor: &mut A, ctx| actor.started(ctx)) == type_name::<NothingToStart<A::Error>>()
}

/// Begins [`Actor::started`].
pub(crate) struct Started;

impl<A: Actor> Start<Resident<A>> for Started {
    type Output = Result<(), A::Error>;

    fn start(
        self,
        state: &mut Resident<A>,
    ) -> (
        impl Begin<Future = impl Future<Output = Self::Output> + Send> + Send,
        impl Sequel<Self::Output>,
    ) {
        let Resident { actor, ctx, .. } = state;
        #[cfg(feature = "testing")]
        return (
            move || async move {
                ctx.shared.before_start().await;
                actor.started(ctx).await
            },
            Hooked,
        );
        #[cfg(not(feature = "testing"))]
        (move || actor.started(ctx), Hooked)
    }
}

/// Begins [`Actor::stopped`].
pub(crate) struct Stopped(pub(super) StopReason);

impl<A: Actor> Start<Resident<A>> for Stopped {
    type Output = Result<(), A::Error>;

    fn start(
        self,
        state: &mut Resident<A>,
    ) -> (
        impl Begin<Future = impl Future<Output = Self::Output> + Send> + Send,
        impl Sequel<Self::Output>,
    ) {
        let actor = &mut state.actor;
        let reason = self.0;
        (move || async move { actor.stopped(&reason).await }, Hooked)
    }
}

/// What follows a hook: nothing but its verdict.
struct Hooked;

impl<E: Error + Send + Sync + 'static> Sequel<Result<(), E>> for Hooked {
    fn done(self, result: Result<(), E>) -> Verdict {
        result.map_err(|error| Arc::new(error) as _)
    }

    fn ended(self, _: &Ending) {}

    fn message() -> &'static str {
        ""
    }
}
