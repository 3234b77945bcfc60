//! A handler that is running: polled with its panics caught, and accounted for however it ends.

use super::identity::ActorId;
use super::reply::Ledger;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// How a handler ended.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    Returned,
    Panicked(Arc<str>),
    Killed,
}

/// One message of a running batch, with its type erased.
pub(crate) trait Member: Send + Sync {
    /// The handler is about to be dropped after a panic or a kill.
    fn tear_down(&self);
    /// The handler has ended: count the message unless its token has done so.
    fn conclude(&self, ending: &Ending, ledger: &dyn Ledger);
}

/// The messages of a running batch; most often there is one, which needs no vector.
pub(crate) enum Members {
    One(Arc<dyn Member>),
    Many(Vec<Arc<dyn Member>>),
}

impl Members {
    pub(super) fn with(self, member: Arc<dyn Member>) -> Self {
        match self {
            Self::One(first) => Self::Many(vec![first, member]),
            Self::Many(mut members) => {
                members.push(member);
                Self::Many(members)
            }
        }
    }

    fn as_slice(&self) -> &[Arc<dyn Member>] {
        match self {
            Self::One(member) => std::slice::from_ref(member),
            Self::Many(members) => members,
        }
    }
}

/// A handler between its first poll and its end. Dropping it is a kill.
pub(crate) struct Running<'a> {
    future: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
    members: Members,
    ledger: &'a dyn Ledger,
    actor: ActorId,
    message: &'static str,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        future: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
        members: Members,
        ledger: &'a dyn Ledger,
        actor: ActorId,
        message: &'static str,
    ) -> Self {
        Self {
            future: Some(future),
            members,
            ledger,
            actor,
            message,
        }
    }

    /// The type of the messages that are being handled.
    pub(super) const fn message(&self) -> &'static str {
        self.message
    }

    /// Polls the handler. After `Ready` the only thing left is [`end`](Self::end).
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let Some(future) = &mut self.future else {
            return Poll::Ready(Ending::Returned);
        };
        let _current = self.actor.enter();
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Ending::Returned),
            Err(payload) => Poll::Ready(Ending::Panicked(panic_text(payload))),
        }
    }

    /// Drops the handler and concludes its messages. `Some` is what a panic in that drop said.
    pub(super) fn end(mut self, ending: &Ending) -> Option<Arc<str>> {
        self.finish(ending)
    }

    fn finish(&mut self, ending: &Ending) -> Option<Arc<str>> {
        let future = self.future.take()?;
        if !matches!(ending, Ending::Returned) {
            self.members
                .as_slice()
                .iter()
                .for_each(|member| member.tear_down());
        }
        let _current = self.actor.enter();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(future)));
        self.members
            .as_slice()
            .iter()
            .for_each(|member| member.conclude(ending, self.ledger));
        dropped.err().map(panic_text)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.finish(&Ending::Killed);
    }
}

/// What a panic said. The payload is dropped here, and may panic once more.
pub(crate) fn panic_text(payload: Box<dyn Any + Send>) -> Arc<str> {
    let text: Arc<str> = if let Some(text) = payload.downcast_ref::<&'static str>() {
        Arc::from(*text)
    } else if let Some(text) = payload.downcast_ref::<String>() {
        Arc::from(text.as_str())
    } else {
        Arc::from("a panic whose payload is not text")
    };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // A payload whose drop panics could go on so for ever.
        std::mem::forget(second);
    }
    text
}

/// Runs a piece of user code that is not a future.
pub(crate) fn guarded<T>(actor: ActorId, code: impl FnOnce() -> T) -> Result<T, Arc<str>> {
    let _current = actor.enter();
    catch_unwind(AssertUnwindSafe(code)).map_err(panic_text)
}
