//! In place of an actor that the one under test talks to.

use crate::actor::{Actor, Builder, Context, Dispatch, Handle, Handler, Message, Recipient, Reply};
use crate::mailbox::lock;
use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// An actor that hands its messages to the test, which answers them or lets their tokens drop.
///
/// It takes the next message when the test has taken the one before: until then it waits in the mailbox.
pub struct StandIn<M: Message> {
    actor: Handle<Desk<M>>,
    messages: mpsc::Receiver<(M, Reply<M>)>,
}

struct Desk<M: Message>(mpsc::Sender<(M, Reply<M>)>);

impl<M: Message> Actor for Desk<M> {
    type Error = Infallible;

    fn name(&self) -> Cow<'static, str> {
        "stand-in".into()
    }
}

impl<M: Message> Handler<M> for Desk<M> {
    const WITH_TOKEN: bool = true;

    async fn handle(&mut self, _: M, _: &Context<Self>) -> Result<M::Response, M::Error> {
        unreachable!("it takes the token along")
    }

    async fn handle_with_token(&mut self, message: M, reply: Reply<M>, _: &Context<Self>) {
        // Refused only if the test has dropped the stand-in, and then nobody answers.
        let _ = self.0.send((message, reply)).await;
    }
}

impl<M: Message> StandIn<M> {
    /// A stand-in with the default capacity.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        let (sender, messages) = mpsc::channel(1);
        let actor = Desk(sender).spawn();
        Self { actor, messages }
    }

    /// What the actor under test is given.
    #[must_use]
    pub fn recipient(&self) -> Recipient<M> {
        self.actor.recipient()
    }

    /// The next message, and the token to answer it.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping it.
    pub async fn next(&mut self) -> (M, Reply<M>) {
        match self.messages.recv().await {
            Some(both) => both,
            None => unreachable!("the stand-in holds its actor"),
        }
    }

    /// The next message, if it has been taken from the mailbox already.
    pub fn try_next(&mut self) -> Option<(M, Reply<M>)> {
        self.messages.try_recv().ok()
    }

    /// How many messages were sent to it and not taken by the test yet.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let account = self.actor.stats().account;
        account.queued + account.running + self.messages.len() as u64
    }

    /// Has it stop: what is queued is given back, and later messages are refused.
    pub fn stop(&self) {
        self.actor.stop();
    }
}

impl<M: Message> Default for StandIn<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Message> fmt::Debug for StandIn<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandIn")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// What an [`answering`] stand-in was sent.
pub struct Record<M>(Arc<Mutex<Vec<M>>>);

impl<M> Record<M> {
    /// Takes the messages that were handled since the last call, oldest first.
    #[must_use]
    pub fn taken(&self) -> Vec<M> {
        std::mem::take(&mut *lock(&self.0))
    }
}

impl<M> Clone for Record<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Record<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({})", lock(&self.0).len())
    }
}

struct Answering<M, F> {
    answer: F,
    record: Record<M>,
}

impl<M: Message, F: Send + 'static> Actor for Answering<M, F> {
    type Error = Infallible;

    fn name(&self) -> Cow<'static, str> {
        "stand-in".into()
    }
}

impl<M, F> Handler<M> for Answering<M, F>
where
    M: Message,
    F: FnMut(&M) -> Result<M::Response, M::Error> + Send + 'static,
{
    async fn handle(&mut self, message: M, _: &Context<Self>) -> Result<M::Response, M::Error> {
        let answer = (self.answer)(&message);
        lock(&self.record.0).push(message);
        answer
    }
}

/// A stand-in that answers by itself, and what it was sent. It ends with its last recipient.
///
/// # Panics
/// Outside a tokio runtime.
pub fn answering<M: Message>(
    answer: impl FnMut(&M) -> Result<M::Response, M::Error> + Send + 'static,
) -> (Recipient<M>, Record<M>) {
    let record = Record(Arc::default());
    let actor = Answering {
        answer,
        record: record.clone(),
    };
    let spawned = Builder::new(actor).dispatch(Dispatch::Queue).spawn();
    let actor = spawned.unwrap_or_else(|error| panic!("{error}"));
    (actor.recipient(), record)
}
