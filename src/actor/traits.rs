//! What a user implements: the actor and its handlers.

use super::hook::{Nothing, Started, Stopped};
use super::name::short_type_name;
use super::{Batch, Builder, Context, Handle, Message, StopReason};
use std::borrow::Cow;
use std::future::Future;

/// State that one task owns, and that handles messages one at a time.
///
/// ```
/// use postroom::actor::{Actor, Context, Handler, Message};
/// use std::convert::Infallible;
///
/// struct Counter(u64);
///
/// impl Actor for Counter {
///     type Error = Infallible;
/// }
///
/// struct Increment;
///
/// impl Message for Increment {
///     type Response = u64;
///     type Error = Infallible;
/// }
///
/// impl Handler<Increment> for Counter {
///     async fn handle(&mut self, _: Increment, _: &Context<Self>) -> Result<u64, Infallible> {
///         self.0 += 1;
///         Ok(self.0)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = Counter(0).spawn();
/// assert_eq!(counter.ask(Increment).await?, 1);
/// assert_eq!(counter.ask(Increment).await?, 2);
/// # Ok(())
/// # }
/// ```
pub trait Actor: Sized + Send + 'static {
    /// The error of the two hooks. Handlers have the error of their message.
    type Error: std::error::Error + Send + Sync + 'static;

    /// What the actor is called in reports, errors and logs. By default the short name of its type.
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(short_type_name::<Self>())
    }

    /// Runs before the first message is handled, under the actor's start deadline (10 s by default). An actor without
    /// one of its own has started as soon as it is spawned, or, in a registry, when its turn has come.
    ///
    /// # Errors
    /// An error ends the actor, or, in a restart, counts as a failure of the new incarnation.
    fn started(
        &mut self,
        ctx: &Context<Self>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = ctx;
        Nothing::<Self, Started>::to_do()
    }

    /// Runs once for every [`started`](Self::started) that returned `Ok`, whatever ended the actor,
    /// also a panic or a kill. It is abandoned at the actor's stop deadline (10 s by default). Only a
    /// runtime that is shut down under the actor leaves no time for it.
    ///
    /// An actor that will come back keeps its mailbox open meanwhile; any other has closed it.
    ///
    /// # Errors
    /// An error is reported in [`Exit::problems`](super::Exit::problems).
    fn stopped(
        &mut self,
        reason: &StopReason,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = reason;
        Nothing::<Self, Stopped>::to_do()
    }

    /// Starts the actor with the defaults. [`Builder`] sets anything else.
    ///
    /// # Panics
    /// Outside a tokio runtime, as [`tokio::spawn`] does.
    fn spawn(self) -> Handle<Self> {
        match Builder::new(self).spawn() {
            Ok(handle) => handle,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Handles one message and answers it: the everyday form.
pub trait Handler<M: Message>: Actor {
    /// Handles a message. No other handler of this actor runs until this one returns, however often
    /// it awaits.
    ///
    /// # Errors
    /// The error is the asker's answer. If nobody asked it is counted, and the actor's first one is
    /// logged. It stops nothing.
    fn handle(
        &mut self,
        message: M,
        ctx: &Context<Self>,
    ) -> impl Future<Output = Result<M::Response, M::Error>> + Send;

    /// Whether [`handle_with_token`](Self::handle_with_token) is called instead: for stand-ins, which are generic in
    /// their message, and therefore cannot implement [`Receive`].
    #[doc(hidden)]
    #[cfg(feature = "testing")]
    const WITH_TOKEN: bool = false;

    /// See [`WITH_TOKEN`](Self::WITH_TOKEN).
    #[doc(hidden)]
    #[cfg(feature = "testing")]
    fn handle_with_token(
        &mut self,
        message: M,
        reply: super::Reply<M>,
        ctx: &Context<Self>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (message, reply, ctx);
        async { unreachable!("this handler answers by what it returns") }
    }
}

/// Handles messages together with their reply tokens: the general form.
///
/// An actor implements either this or [`Handler`] for a message type. This form can answer later, pass
/// the token on with another message or into a task, and take up to [`MAX_BATCH`](Self::MAX_BATCH)
/// messages at a time.
///
/// ```
/// use postroom::actor::{Actor, Batch, Context, Message, Receive};
/// use std::convert::Infallible;
///
/// struct Insert(&'static str);
/// impl Message for Insert {
///     type Response = usize;
///     type Error = Infallible;
/// }
///
/// #[derive(Default)]
/// struct Table(Vec<&'static str>);
/// impl Actor for Table {
///     type Error = Infallible;
/// }
///
/// impl Receive<Insert> for Table {
///     const MAX_BATCH: usize = 256;
///
///     async fn receive(&mut self, batch: Batch<Insert>, _: &Context<Self>) {
///         // One transaction for all of them would begin here, and commit before the answers.
///         let mut answers = Vec::with_capacity(batch.len());
///         for (Insert(row), reply) in batch {
///             self.0.push(row);
///             answers.push((reply, self.0.len()));
///         }
///         for (reply, row) in answers {
///             reply.ok(row);
///         }
///     }
/// }
/// ```
pub trait Receive<M: Message>: Actor {
    /// The longest run of consecutive messages of this type that one call receives. It takes what is
    /// there: one message when idle, more under backlog.
    const MAX_BATCH: usize = 1;

    /// Handles the messages at the head of the queue.
    ///
    /// How each counts is decided, at the latest, when this returns: answered, unanswered (its token
    /// was dropped) or forwarded (its token lives on elsewhere).
    fn receive(&mut self, batch: Batch<M>, ctx: &Context<Self>) -> impl Future<Output = ()> + Send;

    /// Whether the run loop calls [`receive_one`](Self::receive_one) instead. Set by the implementation for
    /// [`Handler`] alone, which needs no token.
    #[doc(hidden)]
    const ONE_AT_A_TIME: bool = false;

    /// See [`ONE_AT_A_TIME`](Self::ONE_AT_A_TIME).
    #[doc(hidden)]
    fn receive_one(
        &mut self,
        message: M,
        ctx: &Context<Self>,
    ) -> impl Future<Output = Result<M::Response, M::Error>> + Send {
        let _ = (message, ctx);
        async { unreachable!("this actor receives its messages in batches") }
    }
}

impl<A: Handler<M>, M: Message> Receive<M> for A {
    async fn receive(&mut self, batch: Batch<M>, ctx: &Context<Self>) {
        for (message, reply) in batch {
            #[cfg(feature = "testing")]
            if <A as Handler<M>>::WITH_TOKEN {
                self.handle_with_token(message, reply, ctx).await;
                continue;
            }
            let answer = self.handle(message, ctx).await;
            reply.send(answer);
        }
    }

    #[cfg(not(feature = "testing"))]
    const ONE_AT_A_TIME: bool = true;

    #[cfg(feature = "testing")]
    const ONE_AT_A_TIME: bool = !<A as Handler<M>>::WITH_TOKEN;

    #[inline]
    fn receive_one(
        &mut self,
        message: M,
        ctx: &Context<Self>,
    ) -> impl Future<Output = Result<M::Response, M::Error>> + Send {
        self.handle(message, ctx)
    }
}
