//! `started` and `stopped`, which run in the seat like handlers.

use super::resident::Resident;
use super::{Actor, StopReason};
use crate::mailbox::{Begin, Ending, Sequel, Start, Verdict};
use std::any::type_name;
use std::error::Error;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

/// What the default of a hook returns: there is nothing to do. No other actor's returns the same, not even one that goes
/// on to call it; nor does the other hook.
pub(super) struct Nothing<A, H>(PhantomData<fn() -> (A, H)>);

impl<A, H> Nothing<A, H> {
    pub(super) const fn to_do() -> Self {
        Self(PhantomData)
    }
}

impl<A: Actor, H> Future for Nothing<A, H> {
    type Output = Result<(), A::Error>;

    fn poll(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(()))
    }
}

/// Whether an actor of this type has the default of [`Actor::started`]. False only means that its hook is called.
#[inline]
pub(super) fn has_nothing_to_start<A: Actor>() -> bool {
    // By its name, for the future may borrow the actor, and so has no type id. Only the default makes one for `A`, which
    // cannot be called where it is overridden.
    name_of(|actor: &mut A, ctx| actor.started(ctx)) == type_name::<Nothing<A, Started>>()
}

/// Whether an actor of this type has the default of [`Actor::stopped`]. False only means that its hook is called.
#[inline]
pub(super) fn has_nothing_to_stop<A: Actor>() -> bool {
    name_of(|actor: &mut A, reason| actor.stopped(reason)) == type_name::<Nothing<A, Stopped>>()
}

/// The name of the type of what a hook returns.
fn name_of<'a, A: 'a, I: 'a, F>(_: impl FnOnce(&'a mut A, &'a I) -> F) -> &'static str {
    type_name::<F>()
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
