//! Claiming steps.

use std::collections::BTreeSet;
use std::time::Duration;

use super::index::Turn;
use super::state::{Key, State};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::{
    ClaimRequest, ClaimedStep, Claims, ParentResult, TemplateSelector, settle,
};

impl State {
    pub(super) fn claim(&mut self, request: &ClaimRequest) -> Claims {
        let now = self.now();
        let callables: BTreeSet<&str> = request.callables.iter().map(String::as_str).collect();
        let mut turns = self.runnable(request, &callables, now);
        turns.sort_unstable();
        turns.truncate(request.limit as usize);
        let steps = turns
            .into_iter()
            .map(|(_, key)| self.take(key, request, now))
            .collect();
        let next_due = callables
            .iter()
            .filter_map(|callable| {
                self.index
                    .retry_wait(callable)
                    .find(|(_, (_, key))| self.in_scope(*key, request))
                    .map(|(due, _)| due)
            })
            .min()
            .map(|due| Duration::from_millis(u64::try_from(due - now).unwrap_or(0)));
        Claims { steps, next_due }
    }

    /// At least the first `limit` runnable steps, in no particular order.
    fn runnable(&self, request: &ClaimRequest, callables: &BTreeSet<&str>, now: i64) -> Vec<Turn> {
        let mut turns = Vec::new();
        for callable in callables {
            let ready = self.index.ready(callable);
            let due = self
                .index
                .retry_wait(callable)
                .take_while(|(due, _)| *due <= now)
                .map(|(_, turn)| turn);
            turns.extend(
                ready
                    .filter(|(_, key)| self.in_scope(*key, request))
                    .take(request.limit as usize),
            );
            turns.extend(due.filter(|(_, key)| self.in_scope(*key, request)));
        }
        turns
    }

    fn in_scope(&self, key: Key, request: &ClaimRequest) -> bool {
        let task = &self.tasks[key.0];
        request.scope.includes(task.uuid)
            && task.state.is_claimable()
            && TemplateSelector::any(&request.serves, &task.namespace, &task.name, &task.version)
    }

    fn take(&mut self, key: Key, request: &ClaimRequest, now: i64) -> ClaimedStep {
        self.change(key, |step| {
            step.state = StepState::Running;
            step.epoch += 1;
            step.attempts += 1;
            step.owner = Some(request.process);
            step.lease_until = Some(now + settle::millis(request.lease));
            step.due_at = None;
            step.started_at = Some(now);
            step.ended_at = None;
        });
        self.tasks[key.0].started_at.get_or_insert(now);
        self.move_task(key.0, TaskState::Running, None, request.process, now);
        let task = &self.tasks[key.0];
        let step = self.step(key);
        let mut parents = step.parents.clone();
        parents.sort_unstable();
        ClaimedStep {
            id: self.id(key),
            name: step.name.clone(),
            callable: step.callable.to_string(),
            epoch: step.epoch,
            attempt: step.attempts,
            max_attempts: step.max_attempts,
            correlation_id: task.correlation_id,
            parents: parents
                .into_iter()
                .map(|parent| {
                    let parent = &task.steps[parent as usize];
                    ParentResult {
                        name: parent.name.clone(),
                        result_json: parent.result.clone().unwrap_or_else(|| "null".to_owned()),
                    }
                })
                .collect(),
        }
    }
}
