//! The end of an actor, whoever brings it about: its task, or an asker that has the turn when the task is gone.

use super::Actor;
use super::exit::{Exit, Hook, HookProblem, StopReason, Trouble};
use super::guard::{Guarded, guarded};
use super::problems::{Problems, note};
use super::resident::Resident;
use super::shared::Shared;
use crate::mailbox::{Ending, Guard, Hold, lock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    reason: StopReason,
    mut problems: Option<Box<Problems>>,
) {
    let guard = Guarded(shared.id());
    if hold.seat().running().is_some() {
        end_running(&mut hold, &guard, &Ending::Killed, &mut problems);
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
    let mut exit = Arc::new(report(shared, reason, false));
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
    end(hold, shared, StopReason::RuntimeGone, None);
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
        lock(&shared.undelivered).clone()
    };
    Exit {
        actor: Arc::clone(&shared.name),
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
