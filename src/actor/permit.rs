//! A slot reserved ahead of the message.

use super::held::Held;
use super::shared::Shared;
use super::{Actor, Message, Receive, SendError, sending};
use crate::mailbox::Ticket;
use std::fmt;
use std::future::poll_fn;
use std::task::{Poll, ready};

/// A slot in a mailbox that belongs to its holder. It counts against the capacity until it is used or
/// dropped, and keeps the actor alive. Whoever sends meanwhile needs a slot besides: in a mailbox of one, a send waits
/// for the permit.
#[must_use = "a permit that is dropped gives its slot back"]
pub struct Permit<'a, A: Actor> {
    actor: Option<&'a Held<Shared<A>>>,
}

/// A [`Permit`] that can be kept, or moved into a task. It keeps the actor alive as a handle does.
///
/// ```
/// # use postroom::actor::{Actor, Context, Handler, Message};
/// # use std::convert::Infallible;
/// # #[derive(Debug, PartialEq)]
/// # struct Job(u32);
/// # struct Worker;
/// # impl Actor for Worker { type Error = Infallible; }
/// # impl Message for Job { type Response = (); type Error = Infallible; }
/// # impl Handler<Job> for Worker {
/// #     async fn handle(&mut self, _: Job, _: &Context<Self>) -> Result<(), Infallible> { Ok(()) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let worker = Worker.spawn();
/// let permit = worker.clone().reserve_owned().await?;
/// let fetched = tokio::spawn(async move {
///     let job = Job(7); // taken from somewhere only now that there is room for it
///     permit.send(job)
/// });
/// fetched.await??;
/// # Ok(())
/// # }
/// ```
#[must_use = "a permit that is dropped gives its slot back"]
pub struct OwnedPermit<A: Actor> {
    /// There until it is used.
    actor: Option<Held<Shared<A>>>,
}

/// The mailbox has closed. The message comes back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the actor accepts no more messages")]
pub struct Closed<M>(pub M);

impl<M> fmt::Debug for Closed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Closed({})", std::any::type_name::<M>())
    }
}

impl<A: Actor> Permit<'_, A> {
    /// Sends without waiting.
    ///
    /// # Errors
    /// [`Closed`] if the mailbox has closed since the permit was given.
    pub fn send<M: Message>(mut self, message: M) -> Result<(), Closed<M>>
    where
        A: Receive<M>,
    {
        match self.actor.take() {
            Some(actor) => send(actor, message),
            None => Err(Closed(message)),
        }
    }
}

impl<A: Actor> OwnedPermit<A> {
    /// See [`Permit::send`].
    ///
    /// # Errors
    /// [`Closed`] if the mailbox has closed since the permit was given.
    pub fn send<M: Message>(mut self, message: M) -> Result<(), Closed<M>>
    where
        A: Receive<M>,
    {
        match self.actor.take() {
            Some(actor) => send(&actor, message),
            None => Err(Closed(message)),
        }
    }
}

fn send<A: Receive<M>, M: Message>(actor: &Shared<A>, message: M) -> Result<(), Closed<M>> {
    actor
        .mailbox
        .push_reserved(sending::tell(message))
        .map_err(|letter| Closed(letter.take_back(None)))
}

impl<A: Actor> Drop for OwnedPermit<A> {
    fn drop(&mut self) {
        if let Some(actor) = self.actor.take() {
            actor.mailbox.release();
        }
    }
}

impl<A: Actor> fmt::Debug for OwnedPermit<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit")
            .field("actor", &self.actor.as_ref().map(|it| &it.name))
            .finish_non_exhaustive()
    }
}

impl<A: Actor> Drop for Permit<'_, A> {
    fn drop(&mut self) {
        if let Some(actor) = self.actor.take() {
            actor.mailbox.release();
        }
    }
}

impl<A: Actor> fmt::Debug for Permit<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("actor", &self.actor.map(|actor| &actor.name))
            .finish_non_exhaustive()
    }
}

/// Leaves the line when the wait is dropped.
struct Waiting<'a, A: Actor> {
    actor: &'a Held<Shared<A>>,
    ticket: Option<Ticket>,
}

impl<A: Actor> Drop for Waiting<'_, A> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.actor.mailbox.leave(ticket);
        }
    }
}

pub(super) async fn reserve<A: Actor>(
    actor: &Held<Shared<A>>,
) -> Result<Permit<'_, A>, SendError<()>> {
    let mut waiting = Waiting {
        actor,
        ticket: None,
    };
    #[cfg(debug_assertions)]
    let mut wait = super::circle::Wait::default();
    poll_fn(|cx| {
        // A sender in a loop gives way, as with a tell.
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        let reserved = actor.mailbox.poll_reserve(&mut waiting.ticket, cx);
        #[cfg(debug_assertions)]
        if let (Some(ticket), false) = (waiting.ticket, actor.id().is_current()) {
            let shared = actor.shared();
            wait.begin(shared.id().number(), &shared.name, || {
                shared.watch_line(ticket)
            });
        }
        if reserved.is_ready() {
            budget.made_progress();
        }
        match reserved {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(Permit { actor: Some(actor) })),
            Poll::Ready(Err(_)) => Poll::Ready(Err(SendError::Closed(()))),
            Poll::Pending if actor.id().is_current() => {
                Poll::Ready(Err(SendError::WouldDeadlock(())))
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

pub(super) async fn reserve_owned<A: Actor>(
    actor: Held<Shared<A>>,
) -> Result<OwnedPermit<A>, SendError<()>> {
    // The slot goes from one permit to the other.
    reserve(&actor).await?.actor = None;
    Ok(OwnedPermit { actor: Some(actor) })
}
