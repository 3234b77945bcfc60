//! What operators and the finaliser do to whole tasks.

use super::state::State;
use crate::orchestration::state::{StepCounts, StepState, TaskEvent, TaskState};
use crate::orchestration::store::{Operation, OperationKind, OperationOutcome};

impl State {
    pub(super) fn operate(&mut self, operation: &Operation) -> OperationOutcome {
        let Some(&number) = self.by_uuid.get(&operation.task_uuid) else {
            return OperationOutcome::NotFound;
        };
        let now = self.now();
        let process = operation.process;
        let applied = match &operation.kind {
            OperationKind::Finalise => {
                let task = &mut self.tasks[number];
                task.counts = task
                    .steps
                    .iter()
                    .map(|step| step.state)
                    .collect::<StepCounts>();
                let before = task.state;
                self.settle(number, process, now);
                self.tasks[number].state != before
            }
            OperationKind::Cancel { reason } => {
                let legal = self.tasks[number].state.next(TaskEvent::Cancel).is_ok();
                if legal {
                    self.cancel_steps(number, now);
                    let reason = Some(reason.clone());
                    self.move_task(number, TaskState::Cancelled, reason, process, now);
                }
                legal
            }
            OperationKind::Retry => match self.tasks[number].state.next(TaskEvent::Retry) {
                Ok(to) => {
                    self.reset_failed_steps(number);
                    self.tasks[number].run += 1;
                    self.move_task(number, to, None, process, now);
                    true
                }
                Err(_) => false,
            },
        };
        let state = self.tasks[number].state;
        if applied {
            OperationOutcome::Applied { state }
        } else {
            OperationOutcome::NotApplicable { state }
        }
    }

    fn cancel_steps(&mut self, number: usize, now: i64) {
        for index in 0..self.tasks[number].steps.len() {
            let state = self.tasks[number].steps[index].state;
            if state.is_terminal() {
                continue;
            }
            self.change((number, index), |step| {
                if state == StepState::Running {
                    // Whatever its holder hands in from now on is stale.
                    step.epoch += 1;
                    step.end_attempt(StepState::Cancelled, now);
                }
                step.state = StepState::Cancelled;
                step.due_at = None;
            });
        }
    }

    fn reset_failed_steps(&mut self, number: usize) {
        for index in 0..self.tasks[number].steps.len() {
            if self.tasks[number].steps[index].state == StepState::Failed {
                self.change((number, index), |step| {
                    step.state = StepState::Ready;
                    step.attempts = 0;
                    step.lost_leases = 0;
                    step.epoch += 1;
                });
            }
        }
    }
}
