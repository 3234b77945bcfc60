//! A handler that runs in the seat: of one message, or of a batch with its reply tokens.

use super::guard::panic_text;
use super::identity::set_deadline;
use super::reply::{Answer, Ledger, Reply};
use super::resident::Resident;
use super::{Actor, Batch, Context, Message, Receive};
use crate::mailbox::{
    Conclusion, Duty, Ending, Outcome, Receipt, Run, RunInPlace, Start, StartInPlace, Verdict,
    Witness,
};
use pin_project_lite::pin_project;
use std::any::type_name;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use tokio::time::Instant;

/// Where an answer goes.
pub(crate) enum To<M: Message> {
    /// The message was told.
    Nobody,
    Asker(Duty<M, Answer<M>>),
    /// The asker polls the handler itself; here the answer waits for it.
    Here(Option<Result<M::Response, M::Error>>),
    /// It is counted and answered, whatever else goes wrong.
    Settled,
}

/// Begins to handle one message.
pub(crate) struct BeginOne<M: Message> {
    pub(super) message: M,
    pub(super) to: To<M>,
    pub(super) deadline: Option<Instant>,
}

impl<A: Receive<M>, M: Message> Start<Resident<A>> for BeginOne<M> {
    #[inline]
    fn start(self, state: &mut Resident<A>) -> impl Run {
        StartInPlace::start(self, state)
    }
}

impl<A: Receive<M>, M: Message> StartInPlace<Resident<A>> for BeginOne<M> {
    type Answer = Option<Result<M::Response, M::Error>>;
    type Receipt = Receipt<M, Answer<M>>;

    #[inline]
    fn start(
        self,
        state: &mut Resident<A>,
    ) -> impl RunInPlace<Answer = Self::Answer, Receipt = Self::Receipt> {
        let Resident { actor, ctx, .. } = state;
        let (ctx, message) = (&*ctx, self.message);
        One::new(
            move || actor.receive_one(message, ctx),
            ctx,
            self.to,
            self.deadline,
        )
    }
}

pin_project! {
    /// One message being handled.
    pub(super) struct One<'a, A: Actor, M: Message, B, F> {
        #[pin]
        stage: Stage<B, F>,
        ctx: &'a Context<A>,
        to: To<M>,
        deadline: Option<Instant>,
    }
}

impl<'a, A: Actor, M: Message, B, F> One<'a, A, M, B, F> {
    pub(super) const fn new(
        begin: B,
        ctx: &'a Context<A>,
        to: To<M>,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            stage: Stage::Fresh { begin },
            ctx,
            to,
            deadline,
        }
    }

    /// Drops the handler, and neither counts nor answers the message.
    pub(super) fn break_off(self: Pin<&mut Self>) -> (To<M>, Option<Instant>, Option<Arc<str>>) {
        let this = self.project();
        let problem = this.stage.clear();
        (
            std::mem::replace(this.to, To::Nobody),
            *this.deadline,
            problem,
        )
    }
}

pin_project! {
    #[project = StageNow]
    #[project_replace = StageBefore]
    enum Stage<B, F> {
        // The handler is called at the first poll, where panics are caught, for it may be more than an `async fn`.
        Fresh { begin: B },
        Runs { #[pin] future: F },
        Gone,
    }
}

impl<B, F> Stage<B, F> {
    /// Drops what is left. The error is what a panic in that said.
    fn clear(self: Pin<&mut Self>) -> Option<Arc<str>> {
        let mut stage = self;
        catch_unwind(AssertUnwindSafe(|| stage.set(Self::Gone)))
            .err()
            .map(panic_text)
    }
}

impl<A, M, B, F> Run for One<'_, A, M, B, F>
where
    A: Receive<M>,
    M: Message,
    B: FnOnce() -> F + Send,
    F: Future<Output = Result<M::Response, M::Error>> + Send,
{
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Verdict> {
        let mut this = self.project();
        set_deadline(*this.deadline);
        if let StageNow::Fresh { .. } = this.stage.as_mut().project()
            && let StageBefore::Fresh { begin } = this.stage.as_mut().project_replace(Stage::Gone)
        {
            let future = begin();
            this.stage.set(Stage::Runs { future });
        }
        let StageNow::Runs { future } = this.stage.project() else {
            return Poll::Ready(Ok(()));
        };
        let answer = ready!(future.poll(cx));
        // Counted first: whoever has the answer finds it in the account.
        let shared = &this.ctx.shared;
        if answer.is_ok() {
            shared.mailbox.settle_ok();
        } else {
            shared.mailbox.settle(Outcome::Failed);
        }
        // An answer that nobody wants is dropped here, which may panic.
        match std::mem::replace(this.to, To::Settled) {
            To::Asker(duty) => duty.answer(Answer::Replied(answer)),
            To::Here(_) => *this.to = To::Here(Some(answer)),
            To::Nobody if answer.is_err() => shared.told_failed(type_name::<M>()),
            To::Nobody | To::Settled => {}
        }
        Poll::Ready(Ok(()))
    }

    fn end(self: Pin<&mut Self>, ending: &Ending) -> Option<Arc<str>> {
        let this = self.project();
        let problem = this.stage.clear();
        let to = std::mem::replace(this.to, To::Settled);
        if !matches!(to, To::Settled) {
            let (outcome, answer) = ending_of(ending);
            this.ctx.shared.mailbox.settle(outcome);
            if let To::Asker(duty) = to {
                duty.answer(answer);
            }
        }
        problem
    }

    fn message(&self) -> &'static str {
        type_name::<M>()
    }
}

impl<A, M, B, F> RunInPlace for One<'_, A, M, B, F>
where
    A: Receive<M>,
    M: Message,
    B: FnOnce() -> F + Send,
    F: Future<Output = Result<M::Response, M::Error>> + Send,
{
    type Answer = Option<Result<M::Response, M::Error>>;
    type Receipt = Receipt<M, Answer<M>>;

    #[inline]
    fn answer(self: Pin<&mut Self>) -> Self::Answer {
        match self.project().to {
            To::Here(answer) => answer.take(),
            To::Nobody | To::Asker(_) | To::Settled => None,
        }
    }

    fn defer(self: Pin<&mut Self>) -> Self::Receipt {
        let this = self.project();
        let (duty, receipt) = Duty::begun(*this.deadline);
        *this.to = To::Asker(duty);
        receipt
    }
}

fn ending_of<M: Message>(ending: &Ending) -> (Outcome, Answer<M>) {
    match ending {
        Ending::Panicked(text) => (Outcome::Panicked, Answer::Panicked(Arc::clone(text))),
        Ending::Killed => (Outcome::Cancelled, Answer::Cancelled),
    }
}

/// Begins to handle a batch.
pub(crate) struct BeginBatch<M: Message> {
    first: (M, Duty<M, Answer<M>>),
    rest: Vec<(M, Duty<M, Answer<M>>)>,
}

impl<M: Message> BeginBatch<M> {
    pub(super) const fn new(message: M, duty: Duty<M, Answer<M>>) -> Self {
        Self {
            first: (message, duty),
            rest: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, message: M, duty: Duty<M, Answer<M>>) {
        self.rest.push((message, duty));
    }

    pub(super) const fn len(&self) -> usize {
        1 + self.rest.len()
    }
}

impl<A: Receive<M>, M: Message> Start<Resident<A>> for BeginBatch<M> {
    fn start(self, state: &mut Resident<A>) -> impl Run {
        let Resident { actor, ctx, .. } = state;
        let ctx = &*ctx;
        let deadline = if self.rest.is_empty() {
            self.first.1.deadline()
        } else {
            None
        };
        let mut members = Vec::with_capacity(self.rest.len());
        let with_token = |(message, duty): (M, Duty<M, Answer<M>>)| {
            let ledger = Arc::clone(&ctx.shared) as Arc<dyn Ledger>;
            (message, Reply::new(duty, ledger))
        };
        let first = self.first.1.witness();
        members.extend(self.rest.iter().map(|(_, duty)| duty.witness()));
        let rest = self.rest.into_iter().map(with_token).collect();
        let batch = Batch::new(with_token(self.first), rest);
        Many {
            // `receive` is called inside the future, so that no user code runs before its first poll.
            future: Some(async move { actor.receive(batch, ctx).await }),
            ctx,
            members: Some((first, members)),
            deadline,
        }
    }
}

/// The run loop's shares of the cells of a batch.
type Members<M> = (Witness<M, Answer<M>>, Vec<Witness<M, Answer<M>>>);

pin_project! {
    /// A batch being handled.
    struct Many<'a, A: Actor, M: Message, F> {
        #[pin]
        future: Option<F>,
        ctx: &'a Context<A>,
        members: Option<Members<M>>,
        deadline: Option<Instant>,
    }
}

impl<A, M, F> Run for Many<'_, A, M, F>
where
    A: Receive<M>,
    M: Message,
    F: Future<Output = ()> + Send,
{
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Verdict> {
        let mut this = self.project();
        set_deadline(*this.deadline);
        if let Some(future) = this.future.as_mut().as_pin_mut() {
            ready!(future.poll(cx));
        }
        // Before they are counted: what it has kept of its tokens is dropped with it.
        this.future.set(None);
        conclude(this.members, None, this.ctx);
        Poll::Ready(Ok(()))
    }

    fn end(self: Pin<&mut Self>, ending: &Ending) -> Option<Arc<str>> {
        let mut this = self.project();
        if let Some((first, rest)) = &this.members {
            first.tear_down();
            for member in rest {
                member.tear_down();
            }
        }
        let problem = catch_unwind(AssertUnwindSafe(|| this.future.set(None)))
            .err()
            .map(panic_text);
        conclude(this.members, Some(ending), this.ctx);
        problem
    }

    fn message(&self) -> &'static str {
        type_name::<M>()
    }
}

/// Counts the messages that no token has decided, and answers where a token was lost.
fn conclude<A: Actor, M: Message>(
    members: &mut Option<Members<M>>,
    ending: Option<&Ending>,
    ctx: &Context<A>,
) {
    let Some((first, rest)) = members.take() else {
        return;
    };
    for member in std::iter::once(first).chain(rest) {
        match member.conclude() {
            Conclusion::Decided => {}
            Conclusion::TokenLives => ctx.shared.mailbox.settle(Outcome::Forwarded),
            Conclusion::TokenLost(duty) => {
                let (outcome, answer) =
                    ending.map_or((Outcome::Unanswered, Answer::NoReply), ending_of);
                ctx.shared.mailbox.settle(outcome);
                duty.answer(answer);
            }
        }
    }
}
