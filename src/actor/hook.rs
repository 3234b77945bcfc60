//! `started` and `stopped`, which run in the seat like handlers.

use super::resident::Resident;
use super::{Actor, StopReason};
use crate::mailbox::{Begin, Ending, Sequel, Start, Verdict};
use std::any::TypeId;
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
    // Only the default makes one for `A`, and it cannot be called where it is overridden.
    future_of(|actor: &mut A, ctx| actor.started(ctx)) == TypeId::of::<Nothing<A, Started>>()
}

/// Whether an actor of this type has the default of [`Actor::stopped`]. False only means that its hook is called.
#[inline]
pub(super) fn has_nothing_to_stop<A: Actor>() -> bool {
    future_of(|actor: &mut A, reason| actor.stopped(reason)) == TypeId::of::<Nothing<A, Stopped>>()
}

/// The type of what a hook returns, which may borrow the actor: whatever its lifetimes.
fn future_of<'a, A: 'a, I: 'a, F>(_: impl FnOnce(&'a mut A, &'a I) -> F) -> TypeId {
    typeid::of::<F>()
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

#[cfg(test)]
mod tests {
    use super::{has_nothing_to_start, has_nothing_to_stop};
    use crate::actor::{Actor, Context, StopReason};
    use std::any::type_name;
    use std::convert::Infallible;
    use std::future::Future;

    struct Plain;

    impl Actor for Plain {
        type Error = Infallible;
    }

    struct Starts;

    impl Actor for Starts {
        type Error = Infallible;

        async fn started(&mut self, _: &Context<Self>) -> Result<(), Infallible> {
            Ok(())
        }
    }

    struct Stops;

    impl Actor for Stops {
        type Error = Infallible;

        async fn stopped(&mut self, _: &StopReason) -> Result<(), Infallible> {
            Ok(())
        }
    }

    #[test]
    fn r11_the_defaults_of_the_hooks_are_known() {
        assert!(has_nothing_to_start::<Plain>() && has_nothing_to_stop::<Plain>());
        assert!(!has_nothing_to_start::<Starts>() && has_nothing_to_stop::<Starts>());
        assert!(has_nothing_to_start::<Stops>() && !has_nothing_to_stop::<Stops>());
    }

    /// The default of another actor, even of one with the same name.
    #[test]
    fn r11_the_default_of_another_actor_is_none() {
        struct Twin;

        impl Actor for Twin {
            type Error = Infallible;
        }

        type Inner = Twin;
        {
            struct Twin(Inner, Option<Context<Inner>>);

            impl Actor for Twin {
                type Error = Infallible;

                fn started(
                    &mut self,
                    _: &Context<Self>,
                ) -> impl Future<Output = Result<(), Infallible>> + Send {
                    let ctx = self.1.as_ref();
                    self.0.started(ctx.expect("it is not called"))
                }

                fn stopped(
                    &mut self,
                    reason: &StopReason,
                ) -> impl Future<Output = Result<(), Infallible>> + Send {
                    self.0.stopped(reason)
                }
            }

            assert_eq!(type_name::<Twin>(), type_name::<Inner>());
            assert!(!has_nothing_to_start::<Twin>() && !has_nothing_to_stop::<Twin>());
        }
    }

    #[test]
    fn r11_the_default_of_the_other_hook_is_none() {
        static REASON: StopReason = StopReason::Stopped;
        struct Starts;

        impl Actor for Starts {
            type Error = Infallible;

            fn started(
                &mut self,
                _: &Context<Self>,
            ) -> impl Future<Output = Result<(), Infallible>> + Send {
                self.stopped(&REASON)
            }
        }

        struct Stops(Option<Context<Self>>);

        impl Actor for Stops {
            type Error = Infallible;

            fn stopped(
                &mut self,
                _: &StopReason,
            ) -> impl Future<Output = Result<(), Infallible>> + Send {
                let ctx = self.0.take().expect("it is not called");
                self.started(Box::leak(Box::new(ctx)))
            }
        }

        assert!(!has_nothing_to_start::<Starts>() && has_nothing_to_stop::<Starts>());
        assert!(has_nothing_to_start::<Stops>() && !has_nothing_to_stop::<Stops>());
    }
}
