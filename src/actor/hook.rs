//! `started` and `stopped`, which run in the seat like handlers.

use super::resident::Resident;
use super::{Actor, StopReason};
use crate::mailbox::{Ending, Run, Start, Verdict};
use pin_project_lite::pin_project;
use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Begins [`Actor::started`].
pub(crate) struct Started;

impl<A: Actor> Start<Resident<A>> for Started {
    fn start(self, state: &mut Resident<A>) -> impl Run {
        let Resident { actor, ctx, .. } = state;
        HookRun {
            future: Some(async move { actor.started(ctx).await }),
        }
    }
}

/// Begins [`Actor::stopped`].
pub(crate) struct Stopped(pub(super) StopReason);

impl<A: Actor> Start<Resident<A>> for Stopped {
    fn start(self, state: &mut Resident<A>) -> impl Run {
        let actor = &mut state.actor;
        HookRun {
            future: Some(async move { actor.stopped(&self.0).await }),
        }
    }
}

pin_project! {
    struct HookRun<F> {
        #[pin]
        future: Option<F>,
    }
}

impl<F, E> Run for HookRun<F>
where
    F: Future<Output = Result<(), E>> + Send,
    E: Error + Send + Sync + 'static,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict> {
        match self.project().future.as_pin_mut() {
            Some(future) => future.poll(cx).map_err(|error| Arc::new(error) as _),
            None => Poll::Ready(Ok(())),
        }
    }

    fn end(self: Pin<&mut Self>, _: &Ending) -> Option<Arc<str>> {
        let mut future = self.project().future;
        catch_unwind(AssertUnwindSafe(|| future.set(None)))
            .err()
            .map(super::guard::panic_text)
    }

    fn message(&self) -> &'static str {
        ""
    }
}
