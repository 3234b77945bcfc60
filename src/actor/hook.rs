//! `started` and `stopped`, which run in the seat like handlers.

use super::resident::Resident;
use super::{Actor, StopReason};
use crate::mailbox::{Begin, Ending, Sequel, Start, Verdict};
use std::error::Error;
use std::future::Future;
use std::sync::Arc;

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
