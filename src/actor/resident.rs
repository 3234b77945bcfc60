//! An incarnation in its seat, and what it does with the messages that leave the queue.

use super::exit::HookProblem;
use super::handling::{BeginBatch, BeginOne, To};
use super::reply::Answer;
use super::{Actor, Context, Message, Receive};
use crate::mailbox::{Hold, Letter, Mailbox, Outcome, Return, Revocation, Takes};
use std::sync::Arc;

/// One incarnation of an actor.
pub(crate) struct Resident<A: Actor> {
    pub(super) actor: A,
    pub(super) ctx: Context<A>,
    /// What an asker that ran a handler in its own task leaves to the actor's task.
    pub(super) left: Option<Box<Left>>,
}

/// Left by an asker.
#[derive(Default)]
pub(crate) struct Left {
    /// The handler panicked: the message's type, and what the panic said.
    pub(super) panicked: Option<(&'static str, Arc<str>)>,
    /// What went wrong in dropping it.
    pub(super) problems: Vec<HookProblem>,
}

impl<A: Receive<M>, M: Message> Takes<M> for Resident<A> {
    type Answer = Answer<M>;

    #[inline]
    fn open(letter: Letter<M, Answer<M>>, hold: &mut Hold<'_, Self>) {
        let deadline = letter.deadline();
        let (message, duty) = match letter.claim() {
            Ok(claimed) => claimed,
            Err(revocation) => return hold.mailbox().settle(skipped(revocation)),
        };
        // Starting runs none of the user's code: that is for the first poll, which catches panics.
        if A::ONE_AT_A_TIME {
            let to = if duty.was_asked() {
                To::Asker(duty)
            } else {
                To::Nobody
            };
            let begin = BeginOne {
                message,
                to,
                deadline,
            };
            hold.seat().start(begin);
        } else {
            let mut batch = BeginBatch::new(message, duty);
            while batch.len() < A::MAX_BATCH {
                let Some(next) = hold.pop_same::<M>() else {
                    break;
                };
                match next.claim() {
                    Ok((message, duty)) => batch.push(message, duty),
                    Err(revocation) => hold.mailbox().settle(skipped(revocation)),
                }
            }
            hold.seat().start(batch);
        }
    }

    fn give_back(letter: Letter<M, Answer<M>>, why: Return, mailbox: &Mailbox<Self>) -> bool {
        match letter.claim() {
            Ok((message, duty)) => {
                // Counted first: whoever has the message back finds it in the account.
                let (outcome, answer) = match why {
                    Return::Stopped => (Outcome::Undelivered, Answer::Stopped(message)),
                    Return::Evicted => (Outcome::Evicted, Answer::Evicted(message)),
                };
                mailbox.settle(outcome);
                duty.answer(answer);
                true
            }
            Err(revocation) => {
                mailbox.settle(skipped(revocation));
                false
            }
        }
    }
}

pub(super) const fn skipped(revocation: Revocation) -> Outcome {
    match revocation {
        Revocation::Expired => Outcome::Expired,
        Revocation::Abandoned => Outcome::Abandoned,
    }
}
