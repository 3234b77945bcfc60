//! An incarnation in its seat, and what it does with the messages that leave the queue.

use super::exit::HookProblem;
use super::guard::Guarded;
use super::handling::{BeginBatch, BeginOne};
use super::redelivery::{BeginAgain, Kept};
use super::reply::Answer;
#[cfg(feature = "metrics")]
use super::samples;
use super::spans;
use super::watch::Watch;
use super::{Actor, ActorId, Context, Message, Receive};
use crate::mailbox::{Hold, Letter, Mailbox, Outcome, Polled, Return, Start, Takes};
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
        let watch = Watch::look(|| spans::of_sender(&letter));
        #[cfg(feature = "metrics")]
        let sent = samples::sent(&letter);
        if A::ONE_AT_A_TIME {
            let (message, duty) = match letter.claim_alone() {
                Ok(claimed) => claimed,
                Err(revocation) => return revoked(hold, revocation.into()),
            };
            #[cfg(feature = "metrics")]
            samples::note_wait::<A, M>(hold, sent);
            if M::REDELIVERY.is_wanted() {
                let begin = BeginAgain {
                    message,
                    duty,
                    deadline,
                    before: 0,
                };
                return start(hold, begin, watch, &guard, cx);
            }
            let begin = BeginOne {
                message,
                duty,
                deadline,
            };
            start(hold, begin, watch, &guard, cx)
        } else {
            let (message, duty) = match letter.claim() {
                Ok(claimed) => claimed,
                Err(revocation) => return revoked(hold, revocation.into()),
            };
            #[cfg(feature = "metrics")]
            samples::note_wait::<A, M>(hold, sent);
            let mut batch = BeginBatch::new(message, duty);
            while batch.len() < A::MAX_BATCH {
                let Some(next) = hold.pop_same::<M>() else {
                    break;
                };
                #[cfg(feature = "metrics")]
                let sent = samples::sent(&next);
                match next.claim() {
                    Ok((message, duty)) => {
                        #[cfg(feature = "metrics")]
                        samples::note_wait::<A, M>(hold, sent);
                        batch.push(message, duty);
                    }
                    Err(revocation) => hold.mailbox().settle(revocation.into()),
                }
            }
            start(hold, batch, watch, &guard, cx)
        }
    }

    fn give_back(letter: Letter<M, Answer<M>>, why: Return, mailbox: &Mailbox<Self>) -> bool {
        match letter.claim() {
            Ok((message, duty)) => {
                // Counted first: whoever has the message back finds it in the account.
                let answer = match why {
                    Return::Stopped => {
                        mailbox.settle(Outcome::Undelivered);
                        Answer::Stopped(message)
                    }
                    Return::Evicted => Answer::Evicted(message),
                };
                duty.answer(answer);
                true
            }
            Err(revocation) => {
                if why == Return::Stopped {
                    mailbox.settle(revocation.into());
                }
                false
            }
        }
    }
}

/// A message is skipped that its asker has taken back.
#[cold]
fn revoked<A: Actor>(hold: &Hold<'_, Resident<A>>, outcome: Outcome) -> Polled {
    hold.mailbox().settle(outcome);
    Polled::Skipped
}

/// Starts and polls it, watched if that is wanted.
#[inline]
pub(super) fn start<A: Actor>(
    hold: &mut Hold<'_, Resident<A>>,
    begin: impl Start<Resident<A>>,
    watch: Option<Watch>,
    guard: &Guarded,
    cx: &mut task::Context<'_>,
) -> Polled {
    match watch {
        None => hold.seat().start_and_poll(begin, guard, cx),
        Some(watch) => hold.seat().start_and_poll(watch.over(begin), guard, cx),
    }
}
