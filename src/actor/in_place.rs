//! Asking an idle actor without a task switch: the asker runs the handler itself.

use super::exit::{Hook, HookProblem, Trouble};
use super::guard::Guarded;
use super::handling::{BeginBatch, BeginOne, To};
use super::identity::depth;
use super::reply::Answer;
use super::resident::{Left, Resident};
use super::run::end_in_place_of_task;
use super::shared::Shared;
use super::spans::{self, InSpan};
use super::target::Begun;
use super::{Actor, Dispatch, Message, Receive};
use crate::mailbox::{Ending, Guard, Hold, InPlace, Letter, Loan};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::task::coop::poll_proceed;
use tokio::time::Instant;
use tracing::Span;

/// How many handlers may run inside each other on one stack.
const MAX_DEPTH: u32 = 8;

/// Runs the handler here, if the actor is idle, started and on this runtime. `Err` gives the message back: it
/// is to be queued.
#[inline]
pub(super) fn ask_in_place<A: Receive<M>, M: Message>(
    shared: &Arc<Shared<A>>,
    message: M,
    deadline: Option<Instant>,
    cx: &mut Context<'_>,
) -> Result<Begun<M>, M> {
    if M::REDELIVERY.is_wanted() {
        return Err(message);
    }
    let auto = match shared.dispatch() {
        Dispatch::Queue => return Err(message),
        Dispatch::InPlace => false,
        Dispatch::Auto if shared.gauge.is_long() => return Err(message),
        Dispatch::Auto => true,
    };
    if depth() >= MAX_DEPTH || !shared.is_on_this_runtime() {
        return Err(message);
    }
    let Some(mut loan) = shared.mailbox.borrow() else {
        return Err(message);
    };
    if !loan.is_quiet() {
        over(loan, shared);
        return Err(message);
    }
    // An asker in a loop would otherwise never give way.
    match poll_proceed(cx) {
        Poll::Ready(budget) => budget.made_progress(),
        Poll::Pending => {
            back(loan, shared);
            return Ok(Begun::GiveWay(message));
        }
    }
    loan.begin();
    let begun = if auto { shared.gauge.begin() } else { None };
    let guard = Guarded(shared.id());
    if !A::ONE_AT_A_TIME {
        return Ok(batch_in_place(loan, shared, message, deadline, begun, cx));
    }
    let one = BeginOne {
        message,
        to: To::Here(None),
        deadline,
    };
    let started = if spans::are_wanted() {
        let one = InSpan::new(one, Span::current());
        loan.seat().start_in_place(one, &guard, cx)
    } else {
        loan.seat().start_in_place(one, &guard, cx)
    };
    Ok(match started {
        InPlace::Done(Some(answer), None) => {
            shared.gauge.done(begun);
            back(loan, shared);
            Begun::Answered(Answer::Replied(answer))
        }
        InPlace::Done(answer, problem) => {
            leave(loan.hold(), |left| {
                left.problems.extend(problem.map(in_drop));
            });
            over(loan, shared);
            Begun::Answered(answer.map_or(Answer::NoReply, Answer::Replied))
        }
        InPlace::Waits(receipt) => {
            shared.gauge.waits();
            over(loan, shared);
            Begun::Accepted(receipt)
        }
        InPlace::Panicked(text) => {
            break_off(loan.hold(), &guard, &text);
            over(loan, shared);
            Begun::Answered(Answer::Panicked(text))
        }
    })
}

/// The same for an actor that receives reply tokens: the answer comes through a cell in any case.
#[cold]
fn batch_in_place<A: Receive<M>, M: Message>(
    mut loan: Loan<'_, Resident<A>>,
    shared: &Arc<Shared<A>>,
    message: M,
    deadline: Option<Instant>,
    begun: Option<std::time::Instant>,
    cx: &mut Context<'_>,
) -> Begun<M> {
    let guard = Guarded(shared.id());
    let (letter, receipt) = Letter::ask(message, deadline);
    let Ok((message, duty)) = letter.claim() else {
        unreachable!("nobody else has seen the letter");
    };
    let batch = BeginBatch::new(message, duty);
    if spans::are_wanted() {
        loan.seat().start(InSpan::new(batch, Span::current()));
    } else {
        loan.seat().start(batch);
    }
    let polled = match loan.seat().running() {
        Some(run) => guard.call(|| run.poll(cx)),
        None => Ok(Poll::Ready(Ok(()))),
    };
    match polled {
        Ok(Poll::Ready(_)) => {
            shared.gauge.done(begun);
            match guard.call(|| loan.seat().clear()) {
                Ok(()) => back(loan, shared),
                Err(text) => {
                    leave(loan.hold(), |left| left.problems.push(in_drop(text)));
                    over(loan, shared);
                }
            }
        }
        Ok(Poll::Pending) => {
            shared.gauge.waits();
            over(loan, shared);
        }
        Err(text) => {
            break_off(loan.hold(), &guard, &text);
            over(loan, shared);
        }
    }
    Begun::Accepted(receipt)
}

/// Ends a handler that panicked, and leaves word of it to the actor's task, which knows the policy.
#[cold]
pub(super) fn break_off<A: Actor>(
    hold: &mut Hold<'_, Resident<A>>,
    guard: &Guarded,
    text: &Arc<str>,
) {
    let mut message = "";
    let mut problems = Vec::new();
    if let Some(run) = hold.seat().running() {
        message = run.message();
        let ending = Ending::Panicked(Arc::clone(text));
        let ended = guard.call(|| run.end(&ending));
        problems.extend(ended.unwrap_or_else(Some));
    }
    problems.extend(guard.call(|| hold.seat().clear()).err());
    leave(hold, |left| {
        left.panicked = Some((message, Arc::clone(text)));
        left.problems.extend(problems.into_iter().map(in_drop));
    });
}

#[cold]
pub(super) fn leave<A: Actor>(hold: &mut Hold<'_, Resident<A>>, note: impl FnOnce(&mut Left<A>)) {
    if let Some(resident) = hold.seat().state() {
        note(resident.left.get_or_insert_default());
    }
}

pub(super) const fn in_drop(text: Arc<str>) -> HookProblem {
    HookProblem {
        hook: Hook::Drop,
        trouble: Trouble::Panicked(text),
    }
}

/// The actor is idle again.
#[inline]
fn back<A: Actor>(loan: Loan<'_, Resident<A>>, shared: &Arc<Shared<A>>) {
    if let Some(hold) = loan.hand_back() {
        end_in_place_of_task(hold, shared);
    }
}

/// The actor's task is to go on.
fn over<A: Actor>(loan: Loan<'_, Resident<A>>, shared: &Arc<Shared<A>>) {
    if let Some(hold) = loan.hand_over() {
        end_in_place_of_task(hold, shared);
    }
}
