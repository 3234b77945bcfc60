//! Holds what is stored of a task against itself (O5): counters against rows, states against each other,
//! and that somebody or something will move every unfinished task on. Every backend reads the rows and asks
//! here.

use super::{StepRecord, TaskRecord};
use crate::orchestration::state::{Evaluation, StepCounts, StepState, TaskState};

/// Everything that is stored of one task and can be checked.
pub(super) struct Audited<'a> {
    pub(super) task: &'a TaskRecord,
    /// The counters as they are stored.
    pub(super) counts: StepCounts,
    pub(super) steps: &'a [StepRecord],
    /// How many history rows of the present run tell of the way from an unfinished state to a final one.
    pub(super) ends: u64,
}

/// One sentence for each violation.
pub(super) fn audit(audited: &Audited<'_>, found: &mut Vec<String>) {
    let Audited {
        task,
        counts,
        steps,
        ends,
    } = audited;
    let mut report = |what: String| found.push(format!("task {}: {what}", task.task_uuid));
    let recounted: StepCounts = steps.iter().map(|step| step.state).collect();
    if recounted != *counts {
        report(format!("it counts {counts:?}, its steps are {recounted:?}"));
    }
    if task.steps_total as usize != steps.len() {
        report(format!(
            "it counts {} steps and has {}",
            task.steps_total,
            steps.len()
        ));
    }
    let evaluation = recounted.evaluate();
    if !states_agree(task.state, evaluation, &recounted) {
        report(format!(
            "it is {}, and its steps say {evaluation:?}",
            task.state
        ));
    }
    if task.state.is_terminal() != task.ended_at.is_some() {
        report(format!(
            "it is {} and its end is {:?}",
            task.state, task.ended_at
        ));
    }
    if *ends != u64::from(task.state.is_terminal()) {
        report(format!(
            "it is {} and came to an end {ends} times in run {}",
            task.state, task.run
        ));
    }
    if task.failure_policy.stops(&recounted) && starting(&recounted) > 0 {
        report(format!("it fails fast, and its steps are {recounted:?}"));
    }
    let explained = matches!(task.state, TaskState::Blocked | TaskState::Failed);
    if explained && task.reason.is_none() {
        report(format!("it is {} without a reason", task.state));
    }
    for step in *steps {
        if let Some(what) = step_violation(step, steps) {
            report(format!("step {}: {what}", step.name));
        }
    }
}

/// How many steps would start by themselves, now or later.
fn starting(counts: &StepCounts) -> u32 {
    counts.pending + counts.ready + counts.retry_wait
}

/// Whether a task may be in this state with such steps. This is where a task without an owner shows.
fn states_agree(state: TaskState, evaluation: Evaluation, counts: &StepCounts) -> bool {
    match state {
        TaskState::Pending => evaluation == Evaluation::Active && counts.running == 0,
        TaskState::Running => evaluation == Evaluation::Active,
        TaskState::Waiting => evaluation == Evaluation::Waiting,
        TaskState::Blocked => counts.running == 0 && counts.active() > 0,
        TaskState::Paused => counts.active() > 0,
        TaskState::Complete => evaluation == Evaluation::Complete,
        TaskState::Failed => evaluation == Evaluation::Failed,
        // Steps that had failed before the task was cancelled stay failed.
        TaskState::Cancelled => counts.active() == 0 && counts.pending == 0,
        TaskState::ResolvedManually => counts.active() == 0,
    }
}

fn step_violation(step: &StepRecord, steps: &[StepRecord]) -> Option<String> {
    let mut unmet = 0;
    for &parent in &step.parents {
        let Some(parent) = steps.get(parent as usize) else {
            return Some(format!(
                "it depends on step number {parent}, which does not exist"
            ));
        };
        unmet += u32::from(!parent.state.satisfies_dependents());
    }
    if unmet != step.unmet_dependencies {
        return Some(format!(
            "it counts {} unmet dependencies and has {unmet}",
            step.unmet_dependencies
        ));
    }
    let may_be_unmet = matches!(
        step.state,
        StepState::Pending
            | StepState::Cancelled
            | StepState::Skipped
            | StepState::ResolvedManually
    );
    if (unmet > 0 && !may_be_unmet) || (unmet == 0 && step.state == StepState::Pending) {
        return Some(format!(
            "it is {} with {unmet} unmet dependencies",
            step.state
        ));
    }
    let running = step.state == StepState::Running;
    if running != step.owner.is_some() || running != step.lease_until.is_some() {
        return Some(format!(
            "it is {}, its owner is {:?}, its lease runs until {:?}",
            step.state, step.owner, step.lease_until
        ));
    }
    if (step.state == StepState::RetryWait) != step.due_at.is_some() {
        return Some(format!("it is {} and due at {:?}", step.state, step.due_at));
    }
    if step.attempts > step.max_attempts {
        return Some(format!(
            "{} of {} attempts are used",
            step.attempts, step.max_attempts
        ));
    }
    if (step.state == StepState::Complete) != step.result_json.is_some() {
        let with = if step.result_json.is_some() {
            "with"
        } else {
            "without"
        };
        return Some(format!("it is {} {with} a result", step.state));
    }
    None
}
