//! Asking an idle actor without a task switch: the asker runs the handler itself. So does who tells, if it is brief.

use super::asker::{GiveWay, asks_on, may_run, tells_on};
use super::dispatch::{Gauge, Runs, measure};
use super::ending::{end_in_place_of_task, in_drop};
use super::guard::Guarded;
use super::handling::{BeginBatch, BeginHere, BeginOne};
use super::identity::depth;
use super::reply::Answer;
use super::resident::{Left, Resident, start};
use super::shared::Shared;
use super::spans;
use super::target::{Begun, ReceiptOf};
use super::watch::Watch;
use super::{Actor, Dispatch, Message, Receive};
use crate::mailbox::{Ending, Guard, Hold, InPlace, Letter, Loan, Polled};
use std::hint::cold_path;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::runtime;
use tokio::time::Instant;

/// How many handlers may run inside each other on one stack.
const MAX_DEPTH: u32 = 8;

/// How often an ask gives way, at most, that meets a sender in a handler, on another thread. If it was queued instead, the
/// actor's task would be woken for it, later its own, and meanwhile others would be queued behind it.
const MAX_MEETINGS: u8 = 8;

/// Runs the handler here, if the actor is idle, started and on this runtime. `Err` gives the message back: it
/// is to be queued.
#[inline]
pub(super) fn ask_in_place<A: Receive<M>, M: Message>(
    shared: &Shared<A>,
    message: M,
    deadline: Option<Instant>,
    gave_way: u8,
    cx: &mut Context<'_>,
) -> Result<Begun<M>, M> {
    if M::REDELIVERY.is_wanted() {
        return Err(message);
    }
    let Some((runtime, auto)) = allowed(shared, |gauge| !gauge.is_long()) else {
        return Err(message);
    };
    // So many conditions would otherwise make what follows look unlikely, and nothing be inlined there.
    let Some(mut loan) = borrow(shared, || asks_on(runtime, cx)) else {
        cold_path();
        if shared.mailbox.is_lent()
            && gave_way < MAX_MEETINGS
            && depth() == 0
            && asks_on(runtime, cx)
        {
            GiveWay::Others.give_way(cx);
            return Ok(Begun::GiveWay(message));
        }
        return Err(message);
    };
    // An asker in a loop would otherwise never give way.
    if let Err(to) = may_run(depth() == 0, cx) {
        cold_path();
        back(loan, shared);
        to.give_way(cx);
        return Ok(Begun::GiveWay(message));
    }
    let begun = begin(&mut loan, auto, Runs::Other);
    let guard = Guarded(shared.id());
    if !A::ONE_AT_A_TIME {
        return Ok(batch_in_place(loan, shared, message, deadline, begun, cx));
    }
    let one = BeginHere { message, deadline };
    let started = match Watch::look(spans::current) {
        Some(watch) => start_watched(&mut loan, watch, one, &guard, cx),
        None => loan.seat().start_in_place(one, &guard, cx),
    };
    Ok(match started {
        InPlace::Done(answer, None) => {
            shared.gauge.done(begun);
            back(loan, shared);
            Begun::Answered(Answer::Replied(answer))
        }
        InPlace::Done(answer, problem) => {
            leave(loan.hold(), |left| {
                left.problems.extend(problem.map(in_drop));
            });
            over(loan, shared);
            Begun::Answered(Answer::Replied(answer))
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

/// The same for a message that is told. Unless the actor is for that whatever its handlers take, they have to be brief.
#[inline(never)] // what goes through the queue would be copied around it
pub(super) fn tell_in_place<A: Receive<M>, M: Message>(
    shared: &Shared<A>,
    message: M,
    cx: &mut Context<'_>,
) -> Result<(), M> {
    if M::REDELIVERY.is_wanted() || !A::ONE_AT_A_TIME {
        return Err(message);
    }
    let Some((runtime, auto)) = allowed(shared, Gauge::is_brief) else {
        return Err(message);
    };
    let Some(mut loan) = borrow(shared, || tells_on(runtime, cx)) else {
        cold_path();
        return Err(message);
    };
    let begun = begin(&mut loan, auto, Runs::Told);
    let guard = Guarded(shared.id());
    let one = BeginOne {
        message,
        duty: None,
        deadline: None,
    };
    let polled = start(loan.hold(), one, Watch::look(spans::current), &guard, cx);
    match polled {
        Polled::Done => {
            shared.gauge.done(begun);
            back(loan, shared);
        }
        polled => not_done(polled, loan, shared, &guard),
    }
    Ok(())
}

/// A told handler waits, or something panicked.
#[cold]
fn not_done<A: Actor>(
    polled: Polled,
    mut loan: Loan<'_, Resident<A>>,
    shared: &Shared<A>,
    guard: &Guarded,
) {
    match polled {
        // Only hooks fail.
        Polled::Done | Polled::Skipped | Polled::Failed(_) => {}
        Polled::Waits => shared.gauge.waits(),
        Polled::DropPanicked(text) => {
            leave(loan.hold(), |left| left.problems.push(in_drop(*text)));
        }
        Polled::Panicked(text) => break_off(loan.hold(), guard, &text),
    }
    over(loan, shared);
}

/// The runtime on which senders may run handlers, if they may at all, and whether some are measured for that.
#[inline]
fn allowed<A: Actor>(
    shared: &Shared<A>,
    suits: impl FnOnce(&Gauge) -> bool,
) -> Option<(runtime::Id, bool)> {
    let (dispatch, runtime) = shared.task()?;
    let auto = match dispatch {
        Dispatch::Queue => return None,
        Dispatch::InPlace => false,
        Dispatch::Auto => true,
    };
    if auto && !suits(&shared.gauge) {
        cold_path();
        return None;
    }
    Some((runtime, auto))
}

/// Borrows the turn of an actor that is idle and unused, for who is on its runtime.
#[inline]
fn borrow<A: Actor>(
    shared: &Shared<A>,
    is_on: impl FnOnce() -> bool,
) -> Option<Loan<'_, Resident<A>>> {
    if depth() >= MAX_DEPTH || !shared.mailbox.is_idle() || !is_on() {
        cold_path();
        return None;
    }
    let loan = shared.mailbox.borrow()?;
    if !loan.is_unused() {
        cold_path();
        back(loan, shared);
        return None;
    }
    Some(loan)
}

/// Counts a handler that starts. The time, if it is measured.
#[inline]
fn begin<A: Actor>(
    loan: &mut Loan<'_, Resident<A>>,
    auto: bool,
    runs: Runs,
) -> Option<std::time::Instant> {
    loan.begin();
    if auto {
        measure(loan.hold(), runs)
    } else {
        None
    }
}

/// Starts a handler that somebody looks at.
#[cold]
fn start_watched<A: Receive<M>, M: Message>(
    loan: &mut Loan<'_, Resident<A>>,
    watch: Watch,
    one: BeginHere<M>,
    guard: &Guarded,
    cx: &mut Context<'_>,
) -> InPlace<Result<M::Response, M::Error>, ReceiptOf<M>> {
    loan.seat().start_in_place(watch.over(one), guard, cx)
}

/// The same for an actor that receives reply tokens: the answer comes through a cell in any case.
#[cold]
fn batch_in_place<A: Receive<M>, M: Message>(
    mut loan: Loan<'_, Resident<A>>,
    shared: &Shared<A>,
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
    match Watch::look(spans::current) {
        Some(watch) => loan.seat().start(watch.over(batch)),
        None => loan.seat().start(batch),
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
    let message = hold.seat().running().map_or("", |run| run.message());
    let ending = Ending::Panicked(Arc::clone(text));
    let problems = hold.seat().end(&ending, guard);
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

/// The actor is idle again.
#[inline]
fn back<A: Actor>(loan: Loan<'_, Resident<A>>, shared: &Shared<A>) {
    if let Some(hold) = loan.hand_back() {
        end_in_place_of_task(hold, shared);
    }
}

/// The actor's task is to go on.
fn over<A: Actor>(loan: Loan<'_, Resident<A>>, shared: &Shared<A>) {
    if let Some(hold) = loan.hand_over() {
        end_in_place_of_task(hold, shared);
    }
}
