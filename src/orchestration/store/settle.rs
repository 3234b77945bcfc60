//! What every backend decides in the same way: where a task stands after its steps have moved, and the
//! words it is told in. Pure code, so that two backends cannot come to differ in it.

use std::time::Duration;

use uuid::Uuid;

use super::{StepFailure, StoreError};
use crate::orchestration::state::{Evaluation, StepCounts, StepState, TaskState};

/// The counter that a step in `state` is counted by.
pub(super) fn counter(counts: &mut StepCounts, state: StepState) -> &mut u32 {
    match state {
        StepState::Pending => &mut counts.pending,
        StepState::Ready => &mut counts.ready,
        StepState::Running => &mut counts.running,
        StepState::RetryWait => &mut counts.retry_wait,
        StepState::Complete | StepState::Skipped | StepState::ResolvedManually => {
            &mut counts.satisfied
        }
        StepState::Failed => &mut counts.failed,
        StepState::Cancelled => &mut counts.cancelled,
    }
}

/// Counts one step in another state than before.
pub(super) fn recount(counts: &mut StepCounts, from: StepState, to: StepState) {
    let before = counter(counts, from);
    *before = before.saturating_sub(1);
    *counter(counts, to) += 1;
}

/// Whether a step in this state would start by itself, now or later.
pub(super) const fn starts_later(state: StepState) -> bool {
    matches!(
        state,
        StepState::Pending | StepState::Ready | StepState::RetryWait
    )
}

/// The state of a step after a failed attempt. `again`: it allows another one; `stops`: its task starts
/// nothing more.
pub(super) const fn after_failure(again: bool, stops: bool) -> StepState {
    match (again, stops) {
        (false, _) => StepState::Failed,
        (true, false) => StepState::RetryWait,
        (true, true) => StepState::Cancelled,
    }
}

/// The state of a new step, and the moment it is due. `later`: its task is to run at a moment that has not
/// come.
pub(super) fn new_step(free: bool, later: Option<i64>) -> (StepState, Option<i64>) {
    match (free, later) {
        (false, _) => (StepState::Pending, None),
        (true, None) => (StepState::Ready, None),
        (true, Some(at)) => (StepState::RetryWait, Some(at)),
    }
}

/// The state of a new task.
pub(super) const fn new_task(later: Option<i64>) -> TaskState {
    match later {
        None => TaskState::Pending,
        Some(_) => TaskState::Waiting,
    }
}

/// After so many times to live without a heartbeat, a process that holds nothing is forgotten.
pub(super) const FORGET_AFTER: u32 = 10;

/// The state of a task whose steps have moved.
///
/// A blocked task with something ready stays blocked: whether anyone can run it is for the sweep, or the
/// next claim, to say. A task that is held back stays so until its steps bring it to its end.
pub(super) fn settled(current: TaskState, counts: &StepCounts) -> TaskState {
    if current.is_terminal() {
        return current;
    }
    match counts.evaluate() {
        Evaluation::Complete => TaskState::Complete,
        Evaluation::Failed => TaskState::Failed,
        Evaluation::Cancelled => TaskState::Cancelled,
        Evaluation::Waiting if current.is_claimable() => TaskState::Waiting,
        Evaluation::Active if current == TaskState::Waiting => TaskState::Running,
        Evaluation::Waiting | Evaluation::Active | Evaluation::Stuck => current,
    }
}

/// Where a task goes that is no longer blocked.
pub(super) fn unblocked(counts: &StepCounts) -> TaskState {
    if counts.ready + counts.running == 0 && counts.retry_wait > 0 {
        TaskState::Waiting
    } else {
        TaskState::Running
    }
}

/// Why a task failed: its first failed step in template order.
pub(super) fn failed_reason(step: &str, error: Option<&str>) -> String {
    format!(
        "step {step} failed: {}",
        error.unwrap_or("no error was kept")
    )
}

/// Why a task is blocked: the handlers it would need.
pub(super) fn blocked_reason(callables: &[&str]) -> String {
    format!("no live worker for {}", callables.join(", "))
}

/// A failure as it is stored and shown.
pub(super) fn failure_text(failure: &StepFailure) -> String {
    format!("{}: {}", failure.kind, failure.message)
}

/// The failure of a step that lost its lease too often.
pub(super) fn lease_lost_text(lost_leases: u32) -> String {
    format!("lease_lost: its lease was lost {lost_leases} times, which is more than allowed")
}

/// The history's word on who held a lease that was lost.
pub(super) fn lost_by(owner: Option<Uuid>) -> String {
    owner.map_or_else(
        || "held by nobody".to_owned(),
        |owner| format!("held by {owner}"),
    )
}

/// The history's word on a completion that came too late.
pub(super) fn stale_detail(state: StepState, epoch: u64) -> String {
    format!("the step is {state} at epoch {epoch}")
}

/// The history's word on how long an attempt took.
pub(super) fn elapsed_detail(elapsed: Duration) -> String {
    format!("took {} ms", elapsed.as_millis())
}

/// Whole milliseconds, rounded up, so that nothing is due early; at most about 140,000 years, so that
/// adding it to a time cannot overflow.
pub(super) fn millis(duration: Duration) -> i64 {
    const MOST: u128 = 1 << 52;
    let rounded_up = duration.as_nanos().div_ceil(1_000_000).min(MOST);
    i64::try_from(rounded_up).unwrap_or(i64::MAX)
}

/// A refusal for a task that could never be run, or never end.
pub(super) fn check(task: &super::NewTask) -> Result<(), StoreError> {
    let invalid = |problem: String| {
        Err(StoreError::Invalid {
            task_uuid: task.task_uuid,
            problem,
        })
    };
    let count = task.steps.len();
    if count == 0 {
        return invalid("it has no steps".to_owned());
    }
    let mut children = vec![Vec::new(); count];
    let mut unmet = Vec::with_capacity(count);
    for (index, step) in task.steps.iter().enumerate() {
        if step.max_attempts == 0 {
            return invalid(format!("step {} is allowed no attempt", step.name));
        }
        for &parent in &step.parents {
            let Some(of_parent) = children.get_mut(parent as usize) else {
                return invalid(format!(
                    "step {} depends on step number {parent}, and there are {count}",
                    step.name
                ));
            };
            if of_parent.last() == Some(&index) {
                return invalid(format!("step {} names a dependency twice", step.name));
            }
            of_parent.push(index);
        }
        unmet.push(step.parents.len());
    }
    let mut free: Vec<usize> = (0..count).filter(|&index| unmet[index] == 0).collect();
    let mut reached = free.len();
    while let Some(index) = free.pop() {
        for &child in &children[index] {
            unmet[child] -= 1;
            if unmet[child] == 0 {
                reached += 1;
                free.push(child);
            }
        }
    }
    if reached < count {
        return invalid("its steps depend on each other in a circle".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_goes_only_where_its_machine_allows() {
        use crate::orchestration::state::TASK_TRANSITIONS;
        for &current in TaskState::ALL {
            for bits in 0_u32..128 {
                let some = |bit: u32| (bits >> bit) & 1;
                let counts = StepCounts {
                    pending: some(0),
                    ready: some(1),
                    running: some(2),
                    retry_wait: some(3),
                    satisfied: some(4),
                    failed: some(5),
                    cancelled: some(6),
                };
                let next = settled(current, &counts);
                let legal = next == current
                    || TASK_TRANSITIONS
                        .iter()
                        .any(|&(from, _, to)| from == current && to == next);
                assert!(legal, "{current} -> {next} for {counts:?}");
            }
        }
    }

    #[test]
    fn a_part_of_a_millisecond_counts_as_one() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(7)), 7);
        assert!(millis(Duration::MAX) < i64::MAX / 2);
    }
}
