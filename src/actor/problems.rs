//! What an actor's task notes for its report.

use super::Actor;
use super::exit::HookProblem;
use super::guard::guarded;
use super::shared::Shared;

/// How many hook problems a report lists.
const MAX_PROBLEMS: usize = 16;

#[derive(Clone, Default)]
pub(super) struct Problems {
    pub(super) listed: Vec<HookProblem>,
    pub(super) further: u64,
    pub(super) panics: Vec<(&'static str, u64)>,
    pub(super) set_aside: Vec<(&'static str, u64)>,
}

pub(super) fn set_message_aside<A: Actor>(
    shared: &Shared<A>,
    problems: &mut Option<Box<Problems>>,
    message: &'static str,
) {
    count(&mut problems.get_or_insert_default().set_aside, message);
    let _ = guarded(shared.id(), || {
        tracing::error!(
            actor = &*shared.name,
            message,
            "a message is set aside: its handler panicked as often as it may be handled again"
        );
    });
}

/// Counts one more, and returns how many there are.
fn count(counts: &mut Vec<(&'static str, u64)>, message: &'static str) -> u64 {
    add(counts, message, 1)
}

fn add(counts: &mut Vec<(&'static str, u64)>, message: &'static str, more: u64) -> u64 {
    if let Some((_, times)) = counts.iter_mut().find(|(name, _)| *name == message) {
        *times += more;
        return *times;
    }
    counts.push((message, more));
    more
}

/// Adds what another has noted.
pub(super) fn absorb(problems: &mut Option<Box<Problems>>, other: Option<Box<Problems>>) {
    let (Some(own), Some(other)) = (&mut *problems, &other) else {
        *problems = problems.take().or(other);
        return;
    };
    own.further += other.further;
    for (counts, more) in [
        (&mut own.panics, &other.panics),
        (&mut own.set_aside, &other.set_aside),
    ] {
        for &(message, times) in more {
            add(counts, message, times);
        }
    }
    for problem in &other.listed {
        note(problems, problem.clone());
    }
}

pub(super) fn note(problems: &mut Option<Box<Problems>>, problem: HookProblem) {
    let problems = problems.get_or_insert_default();
    if problems.listed.len() < MAX_PROBLEMS {
        problems.listed.push(problem);
    } else {
        problems.further += 1;
    }
}

/// Counts a panic, and says so when it is one of many.
pub(super) fn count_panic<A: Actor>(
    shared: &Shared<A>,
    problems: &mut Option<Box<Problems>>,
    message: &'static str,
) {
    let times = count(&mut problems.get_or_insert_default().panics, message);
    if times > 1 && times.is_power_of_two() {
        let _ = guarded(shared.id(), || {
            tracing::error!(
                actor = &*shared.name,
                message,
                times,
                "messages of one type make the actor panic again and again"
            );
        });
    }
}
