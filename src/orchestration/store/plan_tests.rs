//! Whatever is planned, it follows the machines.

use super::*;
use crate::orchestration::state::{STEP_TRANSITIONS, TASK_TRANSITIONS};

/// A task in which something is going on: its states agree with its edges.
fn some_task(rng: &mut fastrand::Rng) -> Operated {
    let count = rng.usize(1..8);
    let mut steps: Vec<OperatedStep> = Vec::new();
    for index in 0..count {
        let parents: Vec<u32> = (0..index).filter(|_| rng.bool()).map(position).collect();
        let unmet = parents
            .iter()
            .filter(|parent| !steps[**parent as usize].state.satisfies_dependents())
            .count();
        let states: &[StepState] = if unmet == 0 {
            &[
                StepState::Ready,
                StepState::Running,
                StepState::RetryWait,
                StepState::Complete,
                StepState::Failed,
                StepState::Skipped,
                StepState::Cancelled,
                StepState::ResolvedManually,
            ]
        } else {
            &[
                StepState::Pending,
                StepState::Cancelled,
                StepState::ResolvedManually,
            ]
        };
        steps.push(OperatedStep {
            name: format!("step {index}"),
            state: states[rng.usize(0..states.len())],
            unmet: position(unmet),
            parents,
            error: None,
        });
    }
    let counts: StepCounts = steps.iter().map(|step| step.state).collect();
    let policy = FailurePolicy::ALL[rng.usize(0..2)];
    let states: &[TaskState] = match counts.evaluate() {
        Evaluation::Complete => &[TaskState::Complete, TaskState::ResolvedManually],
        Evaluation::Failed => &[TaskState::Failed, TaskState::Cancelled],
        Evaluation::Cancelled => &[TaskState::Cancelled],
        Evaluation::Waiting => &[TaskState::Waiting, TaskState::Paused, TaskState::Blocked],
        Evaluation::Active | Evaluation::Stuck => {
            &[TaskState::Running, TaskState::Pending, TaskState::Paused]
        }
    };
    let state = states[rng.usize(0..states.len())];
    Operated {
        state,
        policy,
        counts,
        steps,
    }
}

fn kinds(step: u32) -> Vec<OperationKind> {
    let reason = || "because".to_owned();
    vec![
        OperationKind::Finalise,
        OperationKind::Cancel { reason: reason() },
        OperationKind::Pause { reason: reason() },
        OperationKind::Resume,
        OperationKind::Retry,
        OperationKind::Resolve { reason: reason() },
        OperationKind::ResolveStep {
            step,
            reason: reason(),
        },
        OperationKind::CompleteStep {
            step,
            result_json: "1".into(),
        },
        OperationKind::Rerun { from: step },
    ]
}

#[test]
fn o08_every_operation_moves_steps_and_tasks_only_where_their_machines_allow() {
    let mut rng = fastrand::Rng::with_seed(7);
    let (mut applied, mut refused) = (0, 0);
    for _ in 0..4_000 {
        let task = some_task(&mut rng);
        for kind in kinds(rng.u32(0..9)) {
            let Ok(plan) = plan(task.clone(), &kind) else {
                refused += 1;
                continue;
            };
            applied += 1;
            let mut states: Vec<StepState> = task.steps.iter().map(|step| step.state).collect();
            for change in &plan.steps {
                let (from, to) = (change.from, change.to);
                assert_eq!(from, states[change.index as usize]);
                let legal = from == to
                    || STEP_TRANSITIONS
                        .iter()
                        .any(|&(source, _, target)| source == from && target == to);
                assert!(legal, "{from} -> {to} by {kind:?} of {task:?}");
                states[change.index as usize] = to;
            }
            assert_eq!(plan.counts, states.iter().copied().collect(), "{kind:?}");
            let mut at = task.state;
            for (to, _) in &plan.moves {
                let legal = TASK_TRANSITIONS
                    .iter()
                    .any(|&(source, _, target)| source == at && target == *to);
                assert!(legal, "{at} -> {to} by {kind:?} of {task:?}");
                at = *to;
            }
            let ends = plan.moves.iter().filter(|(to, _)| to.is_terminal()).count();
            assert!(ends <= 1, "{kind:?} ends {task:?} {ends} times");
        }
    }
    assert!(applied > 5_000 && refused > 5_000, "{applied}, {refused}");
}

#[test]
fn o08_a_step_that_does_not_exist_is_refused() {
    let task = some_task(&mut fastrand::Rng::with_seed(1));
    for kind in &kinds(100)[6..] {
        let outcome = plan(task.clone(), kind).unwrap_err();
        let ended = task.state.is_terminal() && task.state != TaskState::Failed;
        assert!(
            outcome == OperationOutcome::NoSuchStep || ended,
            "{kind:?}: {outcome:?}"
        );
    }
}
