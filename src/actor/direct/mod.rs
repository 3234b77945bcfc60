//! The other dispatcher: an actor without a mailbox and without a task, called in place.
//!
//! The slot of a mailbox of one is the fair mutex: whoever has it has the turn, runs hooks and handlers in its own
//! task, and passes the slot on to the longest waiter. The actor's run loop is the same; between two calls it lies on
//! the desk. A call that is dropped half-way leaves its handler, and an actor that is to end or to be restarted its
//! hooks, to a task that is spawned for that alone.

mod call;
mod desk;
mod visit;

pub use call::{Call, DirectTell};
pub(super) use desk::Desk;

use super::run::Runner;
use super::shared::Shared;
use super::{Actor, ActorId, ActorName, Exit, Level, Message, Receive};
use crate::mailbox::MailboxStats;
use desk::Line;
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use visit::Visit;

/// An actor that is called in place: the same actor and the same handlers as behind a
/// [`Handle`](crate::actor::Handle), without a mailbox and without a task.
///
/// One caller has its turn at a time, in the order in which they came, and runs the handler in its own task.
/// Hooks run, panics are caught, restarts and errors are the same. What differs:
///
/// - There is no queue and no capacity. A [`tell`](Self::tell) returns when the message has been handled, and
///   calling oneself in any way is [`WouldDeadlock`](crate::actor::AskError::WouldDeadlock).
/// - `started` runs with the first call, or in [`ready`](Self::ready).
/// - [`Context::handle`](crate::actor::Context::handle) is `None`, for there is no mailbox to reach, and there are no
///   recipients and routes.
/// - A call that has its turn and is not polled holds up all others, as one that holds a mutex does.
/// - Callers that wait for their turn are not accepted yet: when the actor ends they get their message back as
///   `Closed`.
///
/// ```
/// # use postroom::actor::{Actor, Builder, Context, Handler, Message};
/// # use std::convert::Infallible;
/// # struct Counter(u64);
/// # impl Actor for Counter { type Error = Infallible; }
/// # struct Add(u64);
/// # impl Message for Add { type Response = u64; type Error = Infallible; }
/// # impl Handler<Add> for Counter {
/// #     async fn handle(&mut self, Add(n): Add, _: &Context<Self>) -> Result<u64, Infallible> {
/// #         self.0 += n;
/// #         Ok(self.0)
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = Builder::new(Counter(0)).direct()?;
/// counter.tell(Add(40)).await?;
/// assert_eq!(counter.ask(Add(2)).await?, 42);
/// # Ok(())
/// # }
/// ```
pub struct Direct<A: Actor>(Arc<Desk<A>>);

impl<A: Actor> Direct<A> {
    pub(super) fn new(
        shared: Arc<Shared<A>>,
        runner: Runner<A>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        Self(Desk::new(shared, runner, runtime))
    }

    /// Waits for the turn, and has the message handled.
    ///
    /// # Errors
    /// As [`Handle::ask`](crate::actor::Handle::ask); never `Full`, `Stopped` or `Evicted`.
    ///
    /// # Cancel safety
    /// See [`Call`].
    #[inline]
    pub fn ask<M: Message>(&self, message: M) -> Call<'_, A, M>
    where
        A: Receive<M>,
    {
        Call(Visit::new(&self.0, message, true))
    }

    /// Waits for the turn, and has the message handled, wanting no answer.
    ///
    /// # Errors
    /// [`SendError`](crate::actor::SendError) with the message, if it was not handled.
    ///
    /// # Cancel safety
    /// See [`Call`].
    #[inline]
    pub fn tell<M: Message>(&self, message: M) -> DirectTell<'_, A, M>
    where
        A: Receive<M>,
    {
        DirectTell(Visit::new(&self.0, message, false))
    }

    /// Has `started` run if it has not, and waits for it.
    ///
    /// # Errors
    /// The report of an actor that ended without having started.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping it.
    pub async fn ready(&self) -> Result<(), Arc<Exit>> {
        let life = &self.0.shared.life;
        if !life.is_ready() {
            let mut place = Line::new(&self.0);
            if let Some(mut turn) = poll_fn(|cx| place.poll(cx)).await {
                poll_fn(|cx| turn.poll_idle(cx)).await;
            }
        }
        life.started().await
    }

    /// See [`Handle::stop`](crate::actor::Handle::stop). Callers that wait for their turn get `Closed`.
    pub fn stop(&self) {
        self.0.shared.raise(Level::Stop);
    }

    /// The same as [`stop`](Self::stop), for nothing is queued.
    pub fn drain(&self) {
        self.0.shared.raise(Level::Drain);
    }

    /// See [`Handle::kill`](crate::actor::Handle::kill).
    pub fn kill(&self) {
        self.0.shared.raise(Level::Kill);
    }

    /// See [`Handle::closed`](crate::actor::Handle::closed).
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping it.
    pub fn closed(&self) -> impl Future<Output = Arc<Exit>> + Send + 'static + use<A> {
        self.0.shared.ended()
    }

    /// Whether the actor has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.shared.life.exit().is_some()
    }

    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> &ActorName {
        &self.0.shared.name
    }

    /// The actor's number.
    #[must_use]
    pub fn id(&self) -> ActorId {
        self.0.shared.id()
    }

    /// Its counts at this instant. `reserved` is 1 while somebody has the turn, and `waiting` are those in line.
    #[must_use]
    pub fn stats(&self) -> MailboxStats {
        self.0.shared.stats()
    }
}

impl<A: Actor> Clone for Direct<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Actor> PartialEq for Direct<A> {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl<A: Actor> Eq for Direct<A> {}

impl<A: Actor> fmt::Debug for Direct<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Direct({} {:?})", self.name(), self.id())
    }
}
