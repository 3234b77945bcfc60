//! What operators and the finaliser do to whole tasks.

use uuid::Uuid;

use super::state::State;
use crate::orchestration::state::StepState;
use crate::orchestration::store::plan::{Operated, OperatedStep, StepChange, plan};
use crate::orchestration::store::{HistoryKind, HistoryRecord, Operation, OperationOutcome};

impl State {
    pub(super) fn operate(&mut self, operation: &Operation) -> OperationOutcome {
        let Some(&number) = self.by_uuid.get(&operation.task_uuid) else {
            return OperationOutcome::NotFound;
        };
        let plan = match plan(self.operated(number), &operation.kind) {
            Ok(plan) => plan,
            Err(refusal) => return refusal,
        };
        let (now, process) = (self.now(), operation.process);
        let task = &mut self.tasks[number];
        task.run += u32::from(plan.new_run);
        if plan.reason.is_some() {
            task.reason = plan.reason;
        }
        for change in &plan.steps {
            self.operate_on_step(number, change, process, now);
        }
        // What was counted wrongly is put right too.
        self.tasks[number].counts = plan.counts;
        for (to, reason) in plan.moves {
            self.move_task(number, to, reason, process, now);
        }
        OperationOutcome::Applied {
            state: self.tasks[number].state,
        }
    }

    fn operated(&self, number: usize) -> Operated {
        let task = &self.tasks[number];
        Operated {
            state: task.state,
            policy: task.policy,
            counts: task.counts,
            steps: task
                .steps
                .iter()
                .map(|step| OperatedStep {
                    name: step.name.clone(),
                    state: step.state,
                    unmet: step.unmet,
                    parents: step.parents.clone(),
                    error: step.error.clone(),
                })
                .collect(),
        }
    }

    fn operate_on_step(&mut self, number: usize, change: &StepChange, process: Uuid, now: i64) {
        let key = (number, change.index as usize);
        let (attempts, result) = (self.step(key).attempts, self.step(key).result.clone());
        self.change(key, |step| {
            step.state = change.to;
            step.unmet = change.unmet;
            step.owner = None;
            step.lease_until = None;
            step.due_at = None;
            if change.touched {
                step.epoch += 1;
                step.result.clone_from(&change.result);
            }
            if change.is_reset() {
                step.attempts = 0;
                step.lost_leases = 0;
            }
            if change.clears_error() {
                step.error = None;
            }
            if change.ends_now() {
                step.ended_at = Some(now);
            }
        });
        let Some(note) = &change.note else { return };
        let row = HistoryRecord {
            at: now,
            run: self.tasks[number].run,
            kind: HistoryKind::Operator,
            step: Some(change.index),
            attempt: Some(attempts),
            epoch: Some(self.step(key).epoch),
            from: Some(change.from.to_string()),
            to: Some(change.to.to_string()),
            process: Some(process),
            detail: Some(note.clone()),
            result_json: result.filter(|_| change.from == StepState::Complete),
        };
        self.tasks[number].history.push(row);
    }
}
