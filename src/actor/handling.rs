//! A handler that runs in the seat: of one message, or of a batch with its reply tokens.

use super::identity::set_deadline;
use super::reply::{Answer, Ledger, Reply};
use super::resident::Resident;
use super::{Actor, Batch, Context, Message, Receive};
use crate::mailbox::{
    Begin, Conclusion, Duty, Ending, Outcome, Receipt, Sequel, SequelInPlace, Start, StartInPlace,
    Verdict, Witness,
};
use std::any::type_name;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use tokio::time::Instant;

/// Begins to handle one message.
pub(crate) struct BeginOne<M: Message> {
    pub(super) message: M,
    /// The duty to answer. `None`: it was told.
    pub(super) duty: Option<Duty<M, Answer<M>>>,
    pub(super) deadline: Option<Instant>,
}

impl<A: Receive<M>, M: Message> Start<Resident<A>> for BeginOne<M> {
    type Output = Result<M::Response, M::Error>;

    #[inline]
    fn start(
        self,
        state: &mut Resident<A>,
    ) -> (
        impl Begin<Future = impl Future<Output = Self::Output> + Send> + Send,
        impl Sequel<Self::Output>,
    ) {
        let Resident { actor, ctx, .. } = state;
        let (ctx, message) = (&*ctx, self.message);
        let sequel = One {
            ctx,
            duty: self.duty,
            deadline: self.deadline,
        };
        let begin = move || {
            #[cfg(feature = "testing")]
            ctx.shared.before_handler();
            actor.receive_one(message, ctx)
        };
        (begin, sequel)
    }
}

/// What follows the handler of one message.
pub(super) struct One<'a, A: Actor, M: Message> {
    pub(super) ctx: &'a Context<A>,
    pub(super) duty: Option<Duty<M, Answer<M>>>,
    pub(super) deadline: Option<Instant>,
}

impl<A: Receive<M>, M: Message> Sequel<Result<M::Response, M::Error>> for One<'_, A, M> {
    #[inline]
    fn enter(&self) {
        set_deadline(self.deadline);
    }

    #[inline(always)]
    #[expect(clippy::inline_always)] // one of its two callers runs for each message
    fn done(self, answer: Result<M::Response, M::Error>) -> Verdict {
        // Counted first: whoever has the answer finds it in the account.
        count(self.ctx, answer.is_ok());
        // An answer that nobody wants is dropped here, which may panic.
        match self.duty {
            Some(duty) => duty.answer(Answer::Replied(answer)),
            None if answer.is_err() => self.ctx.shared.told_failed(type_name::<M>()),
            None => {}
        }
        Ok(())
    }

    fn ended(self, ending: &Ending) {
        let (outcome, answer) = ending_of(ending);
        self.ctx.shared.mailbox.settle(outcome);
        if let Some(duty) = self.duty {
            duty.answer(answer);
        }
    }

    fn message() -> &'static str {
        type_name::<M>()
    }
}

#[inline]
fn count<A: Actor>(ctx: &Context<A>, is_ok: bool) {
    let mailbox = &ctx.shared.mailbox;
    if is_ok {
        mailbox.settle_ok();
    } else {
        mailbox.settle(Outcome::Failed);
    }
}

/// Begins to handle one message for an asker that polls the handler itself.
pub(crate) struct BeginHere<M: Message> {
    pub(super) message: M,
    pub(super) deadline: Option<Instant>,
}

impl<A: Receive<M>, M: Message> StartInPlace<Resident<A>> for BeginHere<M> {
    type Output = Result<M::Response, M::Error>;
    type Receipt = Receipt<M, Answer<M>>;

    #[inline]
    fn start(
        self,
        state: &mut Resident<A>,
    ) -> (
        impl Begin<Future = impl Future<Output = Self::Output> + Send> + Send,
        impl SequelInPlace<Self::Output, Receipt = Self::Receipt>,
    ) {
        let Resident { actor, ctx, .. } = state;
        let (ctx, message) = (&*ctx, self.message);
        let sequel = Here {
            ctx,
            deadline: self.deadline,
            message: PhantomData,
        };
        let begin = move || {
            #[cfg(feature = "testing")]
            ctx.shared.before_handler();
            actor.receive_one(message, ctx)
        };
        (begin, sequel)
    }
}

/// What follows a handler that its asker polls.
struct Here<'a, A: Actor, M: Message> {
    ctx: &'a Context<A>,
    deadline: Option<Instant>,
    message: PhantomData<fn(M)>,
}

impl<'a, A: Receive<M>, M: Message> SequelInPlace<Result<M::Response, M::Error>>
    for Here<'a, A, M>
{
    type Later = One<'a, A, M>;
    type Receipt = Receipt<M, Answer<M>>;

    #[inline]
    fn enter(&self) {
        set_deadline(self.deadline);
    }

    #[inline]
    fn done(&self, answer: &Result<M::Response, M::Error>) {
        count(self.ctx, answer.is_ok());
    }

    fn defer(self) -> (Self::Later, Self::Receipt) {
        let (duty, receipt) = Duty::begun(self.deadline);
        let one = One {
            duty: Some(duty),
            ..self.forgo()
        };
        (one, receipt)
    }

    fn forgo(self) -> Self::Later {
        One {
            ctx: self.ctx,
            duty: None,
            deadline: self.deadline,
        }
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
    type Output = ();

    fn start(
        self,
        state: &mut Resident<A>,
    ) -> (
        impl Begin<Future = impl Future<Output = ()> + Send> + Send,
        impl Sequel<()>,
    ) {
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
        let many = Many {
            ctx,
            first,
            rest: members,
            deadline,
        };
        // What its future has kept of its tokens is gone when it is done: the block drops it.
        let begin = move || async move {
            #[cfg(feature = "testing")]
            ctx.shared.before_handler();
            actor.receive(batch, ctx).await;
        };
        (begin, many)
    }
}

/// What follows the handler of a batch: the run loop's shares of its cells.
struct Many<'a, A: Actor, M: Message> {
    ctx: &'a Context<A>,
    first: Witness<M, Answer<M>>,
    rest: Vec<Witness<M, Answer<M>>>,
    deadline: Option<Instant>,
}

impl<A: Actor, M: Message> Many<'_, A, M> {
    /// Counts the messages that no token has decided, and answers where a token was lost.
    fn conclude(self, ending: Option<&Ending>) {
        let mailbox = &self.ctx.shared.mailbox;
        for member in std::iter::once(self.first).chain(self.rest) {
            match member.conclude() {
                Conclusion::Decided => {}
                Conclusion::TokenLives => mailbox.settle(Outcome::Forwarded),
                Conclusion::TokenLost(duty) => {
                    let (outcome, answer) =
                        ending.map_or((Outcome::Unanswered, Answer::NoReply), ending_of);
                    mailbox.settle(outcome);
                    duty.answer(answer);
                }
            }
        }
    }
}

impl<A: Receive<M>, M: Message> Sequel<()> for Many<'_, A, M> {
    fn enter(&self) {
        set_deadline(self.deadline);
    }

    fn done(self, (): ()) -> Verdict {
        self.conclude(None);
        Ok(())
    }

    fn tear_down(&self) {
        self.first.tear_down();
        for member in &self.rest {
            member.tear_down();
        }
    }

    fn ended(self, ending: &Ending) {
        self.conclude(Some(ending));
    }

    fn message() -> &'static str {
        type_name::<M>()
    }
}
