//! What operators do, in the model's plain way.

use super::{S, Step, T, Task};
use crate::orchestration::state::FailurePolicy;
use crate::orchestration::store::{OperationKind, OperationOutcome};

/// Does it, or says why not.
pub(super) fn apply(task: &mut Task, kind: &OperationKind) -> Result<(), OperationOutcome> {
    let refused = Err(OperationOutcome::NotApplicable { state: task.state });
    let ended = task.state.is_terminal();
    match kind {
        OperationKind::Finalise => return refused,
        OperationKind::Cancel { .. } if ended => return refused,
        OperationKind::Cancel { .. } => end(task, T::Cancelled),
        OperationKind::Resolve { .. } if ended && task.state != T::Failed => return refused,
        OperationKind::Resolve { .. } => end(task, T::ResolvedManually),
        OperationKind::Pause { .. } if ended || task.state == T::Paused => return refused,
        OperationKind::Pause { .. } => task.state = T::Paused,
        OperationKind::Resume if task.state != T::Paused => return refused,
        OperationKind::Resume => {
            task.state = T::Running;
            task.follow();
        }
        OperationKind::Retry if task.state != T::Failed => return refused,
        OperationKind::Retry => {
            task.run += 1;
            task.state = T::Pending;
            again(task, |step| matches!(step.state, S::Failed | S::Cancelled));
            task.follow();
        }
        OperationKind::ResolveStep { .. } | OperationKind::CompleteStep { .. }
            if ended && task.state != T::Failed =>
        {
            return refused;
        }
        OperationKind::ResolveStep { step, .. } => {
            let state = task.steps[*step as usize].state;
            if state.is_terminal() && state != S::Failed {
                return Err(OperationOutcome::StepNotApplicable { state });
            }
            task.steps[*step as usize].result = None;
            satisfy(task, *step as usize, S::ResolvedManually);
        }
        OperationKind::CompleteStep { step, result_json } => {
            let state = task.steps[*step as usize].state;
            if !matches!(state, S::Ready | S::Running | S::RetryWait | S::Failed) {
                return Err(OperationOutcome::StepNotApplicable { state });
            }
            task.steps[*step as usize].result = Some(result_json.clone());
            satisfy(task, *step as usize, S::Complete);
        }
        OperationKind::Rerun { from } => rerun(task, *from as usize)?,
    }
    Ok(())
}

fn end(task: &mut Task, state: T) {
    task.state = state;
    for step in &mut task.steps {
        if !step.state.is_terminal() {
            step.state = S::Cancelled;
            step.owner = None;
            step.epoch += 1;
        }
    }
}

/// Those steps wait for their dependencies again, and for nothing else.
fn again(task: &mut Task, which: impl Fn(&Step) -> bool) {
    for step in task.steps.iter_mut().filter(|step| which(step)) {
        step.state = S::Pending;
        step.attempts = 0;
        step.lost = 0;
        step.epoch += 1;
    }
    task.ready_what_is_met();
}

fn satisfy(task: &mut Task, index: usize, state: S) {
    let step = &mut task.steps[index];
    step.state = state;
    step.owner = None;
    step.epoch += 1;
    task.ready_what_is_met();
    let goes_on = task.any(S::Ready) || task.any(S::Running) || task.any(S::RetryWait);
    if task.state == T::Failed {
        if task.stops() || (!goes_on && task.any(S::Failed)) {
            return;
        }
        task.run += 1;
        task.state = T::Pending;
    }
    if !task.stops() {
        again(task, |step| step.state == S::Cancelled);
    }
    task.follow();
}

fn rerun(task: &mut Task, from: usize) -> Result<(), OperationOutcome> {
    let mut below = vec![false; task.steps.len()];
    below[from] = true;
    // Parents stand before their children here.
    for index in from..below.len() {
        below[index] |= task.steps[index]
            .parents
            .iter()
            .any(|parent| below[*parent]);
    }
    if let Some(index) =
        (0..below.len()).find(|&it| below[it] && task.steps[it].state == S::Running)
    {
        let step = u32::try_from(index).unwrap();
        return Err(OperationOutcome::Busy { step });
    }
    task.run += 1;
    if task.state.is_terminal() {
        task.state = T::Pending;
    }
    let fails_fast = task.policy == FailurePolicy::FailFast;
    for (index, step) in task.steps.iter_mut().enumerate() {
        let elsewhere = step.state == S::Cancelled || (fails_fast && step.state == S::Failed);
        if below[index] || elsewhere {
            step.state = S::Pending;
            step.attempts = 0;
            step.lost = 0;
            step.epoch += 1;
        }
    }
    task.follow();
    Ok(())
}
