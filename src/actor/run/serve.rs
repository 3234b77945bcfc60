//! The loop that handles messages.

use super::{Ended, Runner, hold};
use crate::actor::dispatch::{Gauge, Runs, measure};
use crate::actor::ending::{end_running, in_drop};
use crate::actor::giving_way::Pace;
use crate::actor::guard::{Guarded, guarded};
use crate::actor::problems::{Problems, note, set_message_aside};
use crate::actor::redelivery::Kept;
use crate::actor::resident::{Left, Resident};
use crate::actor::shared::Shared;
use crate::actor::{Actor, Dispatch, Level};
use crate::mailbox::{Ending, Found, Guard, Hold, Polled};
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Instant;

impl<A: Actor> Runner<A> {
    /// Whether it has been told to stop, and there is nothing else to see to.
    #[inline]
    pub(super) fn is_just_to_stop(&mut self) -> bool {
        let mailbox = &self.shared.mailbox;
        mailbox.level() >= Level::Stop
            && !mailbox.is_let_out()
            && hold(&self.shared, &mut self.tenancy)
                .is_some_and(|mut hold| hold.seat().state().is_some_and(|it| it.left.is_none()))
    }

    /// Handles messages until something ends the incarnation.
    #[inline]
    pub(super) fn serve(&mut self, cx: &mut task::Context<'_>) -> Poll<Ended> {
        let Some(mut hold) = hold(&self.shared, &mut self.tenancy) else {
            // An asker has the turn, and wakes this task when it is done.
            return Poll::Pending;
        };
        let mailbox = hold.mailbox();
        let guard = Guarded(self.shared.id());
        if let Some(ended) = take_left(&mut hold, &mut self.problems) {
            return Poll::Ready(ended);
        }
        let auto = matches!(self.shared.task(), Some((Dispatch::Auto, _)));
        let gauge = auto.then_some(&self.shared.gauge);
        let limits = self.limits.as_deref();
        let mut again = self.again.as_deref_mut();
        let mut polled = resume(&mut hold, &guard, cx);
        // When the handler that was polled started, if it is measured.
        let mut begun: Option<Instant> = None;
        let mut pace = Pace::default();
        // Whether the turn came back when this rested: something is to be done, although no message was there.
        let mut came_back = false;
        loop {
            if let (Some(begun), Polled::Done, Some(gauge)) = (begun.take(), &polled, gauge) {
                gauge.took(begun.elapsed());
            }
            match polled {
                Polled::Done | Polled::Skipped => {}
                // Only hooks fail: a handler's error is its asker's.
                Polled::Failed(error) => drop(error),
                Polled::DropPanicked(text) => note(&mut self.problems, in_drop(*text)),
                Polled::Waits => {
                    if let Some(gauge) = gauge {
                        gauge.waits();
                    }
                    if let Some(group) = again.as_mut().and_then(|again| again.group.as_mut())
                        && group.is_out_of_patience(limits.copied().unwrap_or_default().stop, cx)
                    {
                        end_running(&mut hold, &guard, &Ending::Killed, &mut self.problems);
                        return Poll::Ready(Ended::Regroups);
                    }
                    if mailbox.level() == Level::Kill {
                        end_running(&mut hold, &guard, &Ending::Killed, &mut self.problems);
                        return Poll::Ready(Ended::Asked);
                    }
                    // Whoever kills the actor wakes this task.
                    return Poll::Pending;
                }
                Polled::Panicked(text) => {
                    let text = *text;
                    let message = hold.seat().running().map_or("", |run| run.message());
                    let ending = Ending::Panicked(Arc::clone(&text));
                    end_running(&mut hold, &guard, &ending, &mut self.problems);
                    let kept = again.map(|again| &mut again.kept);
                    keep(&mut hold, &self.shared, &mut self.problems, kept, message);
                    return Poll::Ready(Ended::Panicked { message, text });
                }
            }
            if mailbox.take_let_out() {
                return Poll::Ready(Ended::Left);
            }
            if mailbox.level() >= Level::Stop {
                return Poll::Ready(Ended::Asked);
            }
            if let Some(again) = &mut again {
                let group = again.group.as_ref();
                if group.is_some_and(|it| it.membership.is_asked()) {
                    return Poll::Ready(Ended::Regroups);
                }
                if let Some(first) = again.kept.take() {
                    // It drops a message that nobody waits for any more.
                    if let Err(text) = guard.call(|| first.start(&mut hold)) {
                        note(&mut self.problems, in_drop(text));
                    }
                    polled = resume(&mut hold, &guard, cx);
                    continue;
                }
            }
            if let Some(first) = hold.first() {
                // A flooded mailbox gives way to other tasks like any tokio resource.
                ready!(pace.poll(|| gauge.is_some_and(Gauge::is_brief), cx));
                if let Some(envelope) = first.pop() {
                    pace.count();
                    begun = gauge.and_then(|_| measure(&mut hold, Runs::Other));
                    polled = envelope.open(&mut hold, cx);
                    continue;
                }
            }
            if came_back {
                match hold.look() {
                    Found::Nothing => {}
                    Found::Drained => return Poll::Ready(Ended::Drained),
                    Found::Queued => {
                        // A message was accepted and is not there yet: its sender is about to push it, and would find
                        // the turn held. This task goes behind others instead of waiting for it.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
            hold.seat().give_room_back();
            match hold.rest() {
                Ok(()) => return Poll::Pending,
                Err(again) => hold = again,
            }
            came_back = true;
            // Meanwhile an asker may have had the turn.
            match take_over(&mut hold, &guard, &mut self.problems, cx) {
                Ok(found) => polled = found,
                Err(ended) => return Poll::Ready(ended),
            }
        }
    }
}

/// What an asker has left that had the turn: a handler of its that panicked ends the incarnation.
#[inline]
fn take_left<A: Actor>(
    hold: &mut Hold<'_, Resident<A>>,
    problems: &mut Option<Box<Problems>>,
) -> Option<Ended> {
    let left = &mut hold.seat().state()?.left;
    if left.is_none() {
        return None;
    }
    take_in(left, problems)
}

#[cold]
fn take_in<A: Actor>(
    left: &mut Option<Box<Left<A>>>,
    problems: &mut Option<Box<Problems>>,
) -> Option<Ended> {
    let left = left.take()?;
    for problem in left.problems {
        note(problems, problem);
    }
    let (message, text) = left.panicked?;
    Some(Ended::Panicked { message, text })
}

/// Goes on where an asker has left off.
#[cold]
fn take_over<A: Actor>(
    hold: &mut Hold<'_, Resident<A>>,
    guard: &Guarded,
    problems: &mut Option<Box<Problems>>,
    cx: &mut task::Context<'_>,
) -> Result<Polled, Ended> {
    match take_left(hold, problems) {
        Some(ended) => Err(ended),
        None => Ok(resume(hold, guard, cx)),
    }
}

/// Goes on with the handler that waits, if one does. A kill goes before it.
#[inline]
fn resume<A: Actor>(
    hold: &mut Hold<'_, Resident<A>>,
    guard: &Guarded,
    cx: &mut task::Context<'_>,
) -> Polled {
    if hold.seat().running().is_none() {
        return Polled::Done;
    }
    if hold.mailbox().level() == Level::Kill {
        return Polled::Waits;
    }
    hold.seat().poll(guard, cx)
}

/// After a panic: keeps the message that is to be handled again.
#[cold]
fn keep<A: Actor>(
    hold: &mut Hold<'_, Resident<A>>,
    shared: &Shared<A>,
    problems: &mut Option<Box<Problems>>,
    place: Option<&mut Option<Box<dyn Kept<A>>>>,
    message: &'static str,
) {
    let Some(left) = hold.seat().state().and_then(|it| it.left.take()) else {
        return;
    };
    let set_aside = match (left.kept, place) {
        (Some(kept), Some(place)) => {
            *place = Some(kept);
            return;
        }
        (Some(kept), None) => {
            // An actor that is a plain value does not come back.
            if let Err(text) = guarded(shared.id(), || kept.give_up(&shared.mailbox)) {
                note(problems, in_drop(text));
            }
            Some(message)
        }
        (None, _) => left.set_aside,
    };
    if let Some(message) = set_aside {
        set_message_aside(shared, problems, message);
    }
}
