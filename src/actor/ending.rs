//! The end of an actor, whoever brings it about: its task, or an asker that has the turn when the task is gone.

use super::Actor;
use super::exit::{Cause, Exit, Hook, HookProblem, StopReason, Trouble};
use super::guard::{Guarded, guarded};
use super::problems::{Problems, absorb, count_panic, note};
use super::resident::{Left, Resident};
use super::shared::Shared;
use crate::mailbox::{Ending, Guard, Hold, arc, lock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is noted for the report by others than the actor's task. Most actors have none.
#[derive(Default)]
pub(super) struct Aftermath {
    /// What has been given back, by message type.
    pub(super) undelivered: Vec<(&'static str, u64)>,
    /// What the actor's task has noted while it resigns, and others who give its messages back.
    problems: Option<Box<Problems>>,
    /// How many threads take the queue away from the actor.
    thieves: u32,
    /// How the actor has ended while they did. The last of them publishes its report.
    ended: Option<Cause>,
}

/// Ends what runs, and tells whoever waits for it.
#[cold]
pub(super) fn end_running<A: Actor>(
    hold: &mut Hold<'_, Resident<A>>,
    guard: &Guarded,
    ending: &Ending,
    problems: &mut Option<Box<Problems>>,
) {
    for text in hold.seat().end(ending, guard) {
        note(problems, in_drop(text));
    }
}

/// The end of an actor: what runs is killed, the state dropped, every message given back, the report published.
pub(super) fn end<A: Actor>(
    mut hold: Hold<'_, Resident<A>>,
    shared: &Shared<A>,
    cause: Cause,
    mut problems: Option<Box<Problems>>,
) {
    let guard = Guarded(shared.id());
    if hold.seat().running().is_some() {
        end_running(&mut hold, &guard, &Ending::Killed, &mut problems);
    }
    if let Some(left) = hold.seat().state().and_then(|it| it.left.take()) {
        note_left(*left, shared, &mut problems);
    }
    if let Some(resident) = hold.seat().stand()
        && let Err(text) = guard.call(|| drop(resident))
    {
        note(&mut problems, in_drop(text));
    }
    if hold.mailbox().has_queued() {
        for text in shared.give_back(|| hold.pop_last()) {
            note(&mut problems, in_drop(text));
        }
    }
    if hold.mailbox().is_seized() {
        let mut aftermath = lock(&shared.aftermath);
        let aftermath = aftermath.get_or_insert_default();
        absorb(&mut problems, aftermath.problems.take());
        if aftermath.thieves > 0 {
            aftermath.problems = problems;
            aftermath.ended = Some(cause);
            return;
        }
    }
    publish(shared, cause, problems);
}

/// What nobody has taken up that an asker has left. Messages that are handled again are never handled by an asker, so
/// none is kept or set aside here.
#[cold]
fn note_left<A: Actor>(left: Left<A>, shared: &Shared<A>, problems: &mut Option<Box<Problems>>) {
    for problem in left.problems {
        note(problems, problem);
    }
    if let Some((message, _)) = left.panicked {
        count_panic(shared, problems, message);
    }
}

#[inline]
fn publish<A: Actor>(shared: &Shared<A>, cause: Cause, problems: Option<Box<Problems>>) {
    let mut exit = arc(|| (report(shared, cause.into(), false), ())).0;
    if let Some(problems) = problems {
        add(&mut exit, *problems);
    }
    shared.life.set_exit(exit);
    // Published first: whatever a subscriber does with it, nobody waits in vain.
    if let Some(exit) = shared.life.exit() {
        log(exit);
    }
}

/// Says how an actor has ended.
#[inline]
fn log(exit: &Exit) {
    let _ = guarded(exit.id, || {
        if exit.reason.is_failure() || !exit.problems.is_empty() {
            tracing::error!(actor = &*exit.actor, "{exit}");
        } else {
            tracing::debug!(actor = &*exit.actor, "{exit}");
        }
    });
}

/// For an asker that had the turn when the actor's task was dropped with its runtime.
#[cold]
pub(super) fn end_in_place_of_task<A: Actor>(hold: Hold<'_, Resident<A>>, shared: &Shared<A>) {
    let problems = take_problems(shared);
    end(hold, shared, Cause::RuntimeGone, problems);
}

/// Lays down what the actor's task has noted, for whoever ends the actor.
#[cold]
pub(super) fn lay_down<A: Actor>(shared: &Shared<A>, problems: Option<Box<Problems>>) {
    let mut aftermath = lock(&shared.aftermath);
    absorb(&mut aftermath.get_or_insert_default().problems, problems);
}

/// What the actor's task has noted.
#[cold]
pub(super) fn take_problems<A: Actor>(shared: &Shared<A>) -> Option<Box<Problems>> {
    lock(&shared.aftermath).as_mut()?.problems.take()
}

/// The report of an actor, which may be one whose task does not come to its end. What is queued is given back, for
/// nobody else will.
#[cold]
pub(super) fn give_up<A: Actor>(shared: &Shared<A>) -> Arc<Exit> {
    shared.mailbox.close();
    if let Some(exit) = shared.life.exit() {
        return Arc::clone(exit);
    }
    // Whoever ends the actor finds it before it finds the queue taken away.
    lock(&shared.aftermath).get_or_insert_default().thieves += 1;
    let panics = match shared.mailbox.seize() {
        Some(mut seizure) => shared.give_back(|| seizure.pop()),
        None => Vec::new(),
    };
    let (ended, problems) = {
        let mut aftermath = lock(&shared.aftermath);
        let aftermath = aftermath.get_or_insert_default();
        for text in panics {
            note(&mut aftermath.problems, in_drop(text));
        }
        aftermath.thieves -= 1;
        match aftermath.ended.take_if(|_| aftermath.thieves == 0) {
            Some(cause) => (Some(cause), aftermath.problems.take()),
            None => (None, aftermath.problems.clone()),
        }
    };
    let preliminary = match ended {
        Some(cause) => {
            publish(shared, cause, problems);
            None
        }
        None => problems,
    };
    if let Some(exit) = shared.life.exit() {
        return Arc::clone(exit);
    }
    let mut exit = Arc::new(report(shared, StopReason::Killed, true));
    if let Some(problems) = preliminary {
        add(&mut exit, *problems);
    }
    exit
}

/// What a panic in dropping something says.
pub(super) const fn in_drop(text: Arc<str>) -> HookProblem {
    HookProblem {
        hook: Hook::Drop,
        trouble: Trouble::Panicked(text),
    }
}

/// The report of an actor in which nothing went wrong.
#[inline]
pub(super) fn report<A: Actor>(
    shared: &Shared<A>,
    reason: StopReason,
    abandoned_handler: bool,
) -> Exit {
    static ENDED: AtomicU64 = AtomicU64::new(0);
    let account = shared.mailbox.account();
    let undelivered = if account.undelivered == 0 {
        Vec::new()
    } else {
        let aftermath = lock(&shared.aftermath);
        aftermath
            .as_ref()
            .map_or_else(Vec::new, |it| it.undelivered.clone())
    };
    Exit {
        actor: shared.name.clone(),
        id: shared.id(),
        reason,
        account,
        undelivered,
        panics: Vec::new(),
        set_aside: Vec::new(),
        problems: Vec::new(),
        further_problems: 0,
        abandoned_handler,
        restarts: shared.restarts.load(Ordering::Relaxed),
        sequence: ENDED.fetch_add(1, Ordering::Relaxed),
    }
}

/// What went wrong, for a report that nobody has seen yet.
#[cold]
fn add(exit: &mut Arc<Exit>, problems: Problems) {
    if let Some(exit) = Arc::get_mut(exit) {
        exit.panics = problems.panics;
        exit.set_aside = problems.set_aside;
        exit.problems = problems.listed;
        exit.further_problems = problems.further;
    }
}
