//! A message on its way through a mailbox, with its type erased.

use super::reply::{Answer, Ledger, MessageCell};
use super::running::{Ending, Member, Members, Running};
use super::{Actor, Batch, Context, Message, Receive, Reply};
use crate::mailbox::{Conclusion, Outcome, Revocation};
use std::any::{Any, type_name};
use std::sync::Arc;

/// What an actor's mailbox holds.
pub(crate) trait Envelope<A: Actor>: Any + Send + Sync {
    /// Begins to handle the message, with those behind it that fit into one batch. `None` if there was
    /// nothing left to handle: skipped messages are counted here.
    fn begin<'a>(self: Arc<Self>, actor: &'a mut A, ctx: &'a Context<A>) -> Option<Running<'a>>;

    /// The message's type.
    fn message(&self) -> &'static str;

    /// The actor has ended: an asker gets its message back, a told message is dropped. False if it had
    /// been revoked before.
    fn give_back(self: Arc<Self>, ledger: &dyn Ledger) -> bool;
}

impl<A: Receive<M>, M: Message> Envelope<A> for MessageCell<M> {
    fn begin<'a>(self: Arc<Self>, actor: &'a mut A, ctx: &'a Context<A>) -> Option<Running<'a>> {
        let mailbox = &ctx.shared.mailbox;
        let admit = |cell: Arc<Self>| match cell.claim() {
            Ok(message) => {
                let reply = Reply::new(
                    Arc::clone(&cell),
                    Arc::clone(&ctx.shared) as Arc<dyn Ledger>,
                );
                Some((cell, (message, reply)))
            }
            Err(revocation) => {
                mailbox.settle(skipped(revocation));
                None
            }
        };
        let (cell, first) = admit(self)?;
        let mut rest = Vec::new();
        let mut members = Members::One(cell);
        while rest.len() + 1 < A::MAX_BATCH {
            let same_type = |head: &Arc<dyn Envelope<A>>| {
                let head: &dyn Any = &**head;
                head.is::<Self>()
            };
            let Some(next) = mailbox.pop_if(same_type) else {
                break;
            };
            let next: Arc<dyn Any + Send + Sync> = next;
            let Ok(next) = next.downcast::<Self>() else {
                break;
            };
            if let Some((cell, member)) = admit(next) {
                rest.push(member);
                members = members.with(cell);
            }
        }
        let batch = Batch::new(first, rest);
        // `receive` is called inside the future, so that no user code runs before its first poll.
        let future = Box::pin(async move { actor.receive(batch, ctx).await });
        Some(Running::new(
            future,
            members,
            &*ctx.shared,
            ctx.shared.id,
            type_name::<M>(),
        ))
    }

    fn message(&self) -> &'static str {
        type_name::<M>()
    }

    fn give_back(self: Arc<Self>, ledger: &dyn Ledger) -> bool {
        match self.claim() {
            Ok(message) => {
                ledger.settle(Outcome::Undelivered);
                self.answer(Answer::Stopped(message));
                true
            }
            Err(revocation) => {
                ledger.settle(skipped(revocation));
                false
            }
        }
    }
}

const fn skipped(revocation: Revocation) -> Outcome {
    match revocation {
        Revocation::Expired => Outcome::Expired,
        Revocation::Abandoned => Outcome::Abandoned,
    }
}

impl<M: Message> Member for MessageCell<M> {
    fn tear_down(&self) {
        Self::tear_down(self);
    }

    fn conclude(&self, ending: &Ending, ledger: &dyn Ledger) {
        match Self::conclude(self) {
            Conclusion::Decided => {}
            Conclusion::TokenLives => ledger.settle(Outcome::Forwarded),
            Conclusion::TokenLost => {
                let (outcome, answer) = match ending {
                    Ending::Returned => (Outcome::Unanswered, Answer::NoReply),
                    Ending::Panicked(text) => {
                        (Outcome::Panicked, Answer::Panicked(Arc::clone(text)))
                    }
                    Ending::Killed => (Outcome::Cancelled, Answer::Cancelled),
                };
                ledger.settle(outcome);
                self.answer(answer);
            }
        }
    }
}
