//! An incarnation in its seat, and what it does with the messages that leave the queue.

use super::exit::HookProblem;
use super::guard::Guarded;
use super::handling::{BeginBatch, BeginOne, To};
use super::redelivery::{BeginAgain, Kept};
use super::reply::Answer;
use super::spans::{self, InSpan};
use super::{Actor, ActorId, Context, Message, Receive};
use crate::mailbox::{Hold, Letter, Mailbox, Outcome, Polled, Return, Revocation, Start, Takes};
use std::sync::Arc;
use std::task;

/// One incarnation of an actor.
pub(crate) struct Resident<A: Actor> {
    pub(super) actor: A,
    pub(super) ctx: Context<A>,
    /// What a handler leaves to the actor's task, above all one that an asker ran in its own task.
    pub(super) left: Option<Box<Left<A>>>,
}

/// Left by a handler.
pub(crate) struct Left<A: Actor> {
    /// The handler panicked: the message's type, and what the panic said.
    pub(super) panicked: Option<(&'static str, Arc<str>)>,
    /// What went wrong in dropping it.
    pub(super) problems: Vec<HookProblem>,
    /// It panicked, and its message is to be handled again.
    pub(super) kept: Option<Box<dyn Kept<A>>>,
    /// It panicked, and its message, of this type, is not handled again any more.
    pub(super) set_aside: Option<&'static str>,
}

impl<A: Actor> Default for Left<A> {
    fn default() -> Self {
        Self {
            panicked: None,
            problems: Vec::new(),
            kept: None,
            set_aside: None,
        }
    }
}

impl<A: Receive<M>, M: Message> Takes<M> for Resident<A> {
    type Answer = Answer<M>;

    #[inline]
    fn open(
        letter: Letter<M, Answer<M>>,
        hold: &mut Hold<'_, Self>,
        cx: &mut task::Context<'_>,
    ) -> Polled {
        let guard = Guarded(ActorId::of_mailbox(hold.mailbox().id()));
        let deadline = letter.deadline();
        let link = spans::are_wanted().then(|| letter.span());
        let (message, duty) = match letter.claim() {
            Ok(claimed) => claimed,
            Err(revocation) => {
                hold.mailbox().settle(skipped(revocation));
                return Polled::Done(None);
            }
        };
        if A::ONE_AT_A_TIME {
            let to = if duty.was_asked() {
                To::Asker(duty)
            } else {
                To::Nobody
            };
            if M::REDELIVERY.is_wanted() {
                let begin = BeginAgain {
                    message,
                    to,
                    deadline,
                    before: 0,
                };
                return start(hold, begin, link, &guard, cx);
            }
            let begin = BeginOne {
                message,
                to,
                deadline,
            };
            start(hold, begin, link, &guard, cx)
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
            start(hold, batch, link, &guard, cx)
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

/// Starts and polls it, in a span if that is wanted: the link is the sender's.
#[inline]
fn start<A: Actor>(
    hold: &mut Hold<'_, Resident<A>>,
    begin: impl Start<Resident<A>>,
    link: Option<tracing::Span>,
    guard: &Guarded,
    cx: &mut task::Context<'_>,
) -> Polled {
    match link {
        None => hold.seat().start_and_poll(begin, guard, cx),
        Some(link) => hold
            .seat()
            .start_and_poll(InSpan::new(begin, link), guard, cx),
    }
}

pub(super) const fn skipped(revocation: Revocation) -> Outcome {
    match revocation {
        Revocation::Expired => Outcome::Expired,
        Revocation::Abandoned => Outcome::Abandoned,
    }
}
