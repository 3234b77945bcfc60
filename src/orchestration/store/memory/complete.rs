//! Recording outcomes.

use uuid::Uuid;

use super::state::{Key, State};
use crate::orchestration::state::StepState;
use crate::orchestration::store::{
    Completion, CompletionOutcome, HistoryKind, HistoryRecord, StepOutcome, settle,
};

impl State {
    pub(super) fn complete(&mut self, completion: Completion) -> CompletionOutcome {
        let now = self.now();
        let Some(key) = self.key(completion.lease.id) else {
            return CompletionOutcome::NotFound;
        };
        if !self.holds(key, completion.process, completion.lease.epoch) {
            return self.stale(key, &completion, now);
        }
        let took = settle::elapsed_detail(completion.elapsed);
        let newly_ready = match completion.outcome {
            StepOutcome::Success { result_json } => {
                self.change(key, |step| {
                    step.end_attempt(StepState::Complete, now);
                    step.result = Some(result_json);
                    step.error = None;
                });
                self.note_attempt(key, completion.process, took, now);
                self.satisfy_children(key)
            }
            StepOutcome::Failure { failure, retry_in } => {
                let error = settle::failure_text(&failure);
                let stops = self.stops(key.0);
                self.change(key, |step| {
                    let again = retry_in.is_some() && step.attempts < step.max_attempts;
                    let state = settle::after_failure(again, stops);
                    step.error = Some(error.clone());
                    step.due_at = retry_in
                        .filter(|_| state == StepState::RetryWait)
                        .map(|delay| now + settle::millis(delay));
                    step.end_attempt(state, now);
                });
                self.note_attempt(key, completion.process, error, now);
                0
            }
        };
        let finalised = self.settle(key.0, completion.process, now).is_some();
        CompletionOutcome::Recorded {
            step_state: self.step(key).state,
            task_state: self.tasks[key.0].state,
            newly_ready,
            finalised,
            stops: self.stops(key.0),
        }
    }

    /// Whether a task starts nothing more and stops what runs.
    pub(super) fn stops(&self, number: usize) -> bool {
        let task = &self.tasks[number];
        task.policy.stops(&task.counts)
    }

    /// Whether a process holds the lease on a step, as of that epoch.
    pub(super) fn holds(&self, key: Key, process: Uuid, epoch: u64) -> bool {
        let step = self.step(key);
        step.state == StepState::Running && step.epoch == epoch && step.owner == Some(process)
    }

    fn satisfy_children(&mut self, key: Key) -> u32 {
        let mut newly_ready = 0;
        for child in self.step(key).children.clone() {
            self.change((key.0, child), |child| {
                child.unmet = child.unmet.saturating_sub(1);
                if child.unmet == 0 && child.state == StepState::Pending {
                    child.state = StepState::Ready;
                    newly_ready += 1;
                }
            });
        }
        newly_ready
    }

    fn note_attempt(&mut self, key: Key, process: Uuid, detail: String, now: i64) {
        let step = self.step(key);
        let row = HistoryRecord {
            at: now,
            run: self.tasks[key.0].run,
            kind: HistoryKind::Attempt,
            step: Some(self.id(key).index),
            attempt: Some(step.attempts),
            epoch: Some(step.epoch),
            from: Some(StepState::Running.to_string()),
            to: Some(step.state.to_string()),
            process: Some(process),
            detail: Some(detail),
            result_json: None,
        };
        self.tasks[key.0].history.push(row);
    }

    fn stale(&mut self, key: Key, completion: &Completion, now: i64) -> CompletionOutcome {
        let (state, epoch) = (self.step(key).state, self.step(key).epoch);
        let row = HistoryRecord {
            at: now,
            run: self.tasks[key.0].run,
            kind: HistoryKind::Stale,
            step: Some(self.id(key).index),
            attempt: None,
            epoch: Some(completion.lease.epoch),
            from: None,
            to: None,
            process: Some(completion.process),
            detail: Some(settle::stale_detail(state, epoch)),
            result_json: None,
        };
        self.tasks[key.0].history.push(row);
        CompletionOutcome::Stale {
            step_state: state,
            epoch,
        }
    }
}
