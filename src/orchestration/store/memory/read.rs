//! Reading back, and checking.

use std::cmp::Reverse;
use std::sync::Arc;

use uuid::Uuid;

use super::state::{State, Step, Task};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::audit::{Audited, audit};
use crate::orchestration::store::census::age;
use crate::orchestration::store::{
    Census, CleanupReport, CleanupRequest, DeadLetter, DeadLetterFilter, HistoryKind,
    HistoryRecord, StepRecord, TaskDefinition, TaskFilter, TaskRecord, settle,
};

impl State {
    pub(super) fn census(&self) -> Census {
        const MOST: usize = Census::MOST as usize;
        let number = |count: usize| u32::try_from(count).unwrap_or(Census::MOST);
        let tasks = self
            .index
            .all_ready()
            .map(|(number, _)| &self.tasks[number]);
        let ready: Vec<i64> = tasks
            .filter(|task| task.state != TaskState::Paused)
            .map(|task| task.created_at)
            .take(MOST)
            .collect();
        let oldest = ready.iter().min();
        Census {
            ready: number(ready.len()),
            running: number(self.index.running().min(MOST)),
            retry_wait: number(self.index.all_waiting().min(MOST)),
            blocked_tasks: number(self.blocked.len().min(MOST)),
            processes: number(self.processes.len().min(MOST)),
            oldest_ready: oldest.map(|at| age(*at, self.now())),
        }
    }

    fn find(&self, task_uuid: Uuid) -> Option<&Task> {
        self.by_uuid
            .get(&task_uuid)
            .map(|&number| &self.tasks[number])
    }

    pub(super) fn task(&self, task_uuid: Uuid) -> Option<TaskRecord> {
        self.find(task_uuid).map(task_record)
    }

    pub(super) fn definition(&self, task_uuid: Uuid) -> Option<Arc<TaskDefinition>> {
        self.find(task_uuid)
            .map(|task| Arc::clone(&task.definition))
    }

    pub(super) fn steps(&self, task_uuid: Uuid) -> Vec<StepRecord> {
        self.find(task_uuid).map(step_records).unwrap_or_default()
    }

    pub(super) fn history(&self, task_uuid: Uuid) -> Vec<HistoryRecord> {
        self.find(task_uuid)
            .map(|task| task.history.clone())
            .unwrap_or_default()
    }

    pub(super) fn list(&self, filter: &TaskFilter) -> Vec<TaskRecord> {
        let wanted = |task: &&Task| {
            (filter.states.is_empty() || filter.states.contains(&task.state))
                && filter.content.is_none_or(|content| task.content == content)
                && filter.template.as_ref().is_none_or(|(namespace, name)| {
                    task.namespace == *namespace && task.name == *name
                })
        };
        self.tasks
            .iter()
            .rev()
            .filter(wanted)
            .take(filter.limit as usize)
            .map(task_record)
            .collect()
    }

    pub(super) fn dead_letters(&self, filter: &DeadLetterFilter) -> Vec<DeadLetter> {
        let mut found = Vec::new();
        for task in self.tasks.iter() {
            let dealt_with = matches!(
                task.state,
                TaskState::Cancelled | TaskState::ResolvedManually
            );
            let other = filter
                .namespace
                .as_ref()
                .is_some_and(|namespace| task.namespace != *namespace);
            if task.counts.failed == 0 || dealt_with || other {
                continue;
            }
            for (step, index) in task.steps.iter().zip(0..) {
                if step.state == StepState::Failed {
                    found.push(dead_letter(task, step, index));
                }
            }
        }
        // The latest first; of one moment, the newest task's.
        found.reverse();
        found.sort_by_key(|letter| Reverse(letter.failed_at));
        found.truncate(filter.limit as usize);
        found
    }

    pub(super) fn cleanup(&mut self, request: &CleanupRequest) -> CleanupReport {
        let before = self.now() - settle::millis(request.older_than);
        let after = request
            .after
            .and_then(|after| usize::try_from(after).ok()?.checked_add(1));
        let looked_at: Vec<(usize, bool)> = self
            .tasks
            .from(after.unwrap_or(0))
            .take(request.limit as usize)
            .map(|(number, task)| (number, task.ended_at.is_some_and(|ended| ended <= before)))
            .collect();
        let next = looked_at.last().map(|(number, _)| *number as u64);
        let old = looked_at.iter().filter(|(_, old)| *old);
        let mut report = CleanupReport { tasks: 0, next };
        for (number, _) in old {
            report.tasks += 1;
            // Nothing of a task that has ended is in the indexes.
            if !request.dry_run
                && let Some(task) = self.tasks.remove(*number)
            {
                self.by_uuid.remove(&task.uuid);
                self.by_identity.remove(&task.identity);
            }
        }
        report
    }

    pub(super) fn audit(&self) -> Vec<String> {
        let mut found = Vec::new();
        for task in self.tasks.iter() {
            let ends = task.history.iter().filter(|row| {
                let to = row
                    .to
                    .as_deref()
                    .and_then(|to| to.parse::<TaskState>().ok());
                let from = row
                    .from
                    .as_deref()
                    .and_then(|from| from.parse::<TaskState>().ok());
                row.kind == HistoryKind::TaskState
                    && row.run == task.run
                    && to.is_some_and(TaskState::is_terminal)
                    // What is resolved after a failure has ended before.
                    && !from.is_some_and(TaskState::is_terminal)
            });
            audit(
                &Audited {
                    task: &task_record(task),
                    counts: task.counts,
                    steps: &step_records(task),
                    ends: ends.count() as u64,
                },
                &mut found,
            );
        }
        found
    }
}

fn dead_letter(task: &Task, step: &Step, index: u32) -> DeadLetter {
    DeadLetter {
        task_uuid: task.uuid,
        namespace: task.namespace.clone(),
        name: task.name.clone(),
        version: task.version.clone(),
        task_state: task.state,
        correlation_id: task.correlation_id,
        index,
        step: step.name.clone(),
        callable: step.callable.to_string(),
        attempts: step.attempts,
        max_attempts: step.max_attempts,
        lost_leases: step.lost_leases,
        error: step.error.clone(),
        failed_at: step.ended_at,
    }
}

fn task_record(task: &Task) -> TaskRecord {
    TaskRecord {
        task_uuid: task.uuid,
        namespace: task.namespace.clone(),
        name: task.name.clone(),
        version: task.version.clone(),
        state: task.state,
        reason: task.reason.clone(),
        run: task.run,
        correlation_id: task.correlation_id,
        steps_total: u32::try_from(task.steps.len()).unwrap_or(u32::MAX),
        steps_complete: task.counts.satisfied,
        steps_failed: task.counts.failed,
        priority: task.priority,
        failure_policy: task.policy,
        content: hexadecimal(&task.content),
        created_at: task.created_at,
        started_at: task.started_at,
        ended_at: task.ended_at,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn step_records(task: &Task) -> Vec<StepRecord> {
    task.steps
        .iter()
        .zip(0..)
        .map(|(step, index)| StepRecord {
            index,
            name: step.name.clone(),
            callable: step.callable.to_string(),
            state: step.state,
            attempts: step.attempts,
            max_attempts: step.max_attempts,
            lost_leases: step.lost_leases,
            epoch: step.epoch,
            unmet_dependencies: step.unmet,
            parents: {
                let mut parents = step.parents.clone();
                parents.sort_unstable();
                parents
            },
            owner: step.owner,
            lease_until: step.lease_until,
            due_at: step.due_at,
            started_at: step.started_at,
            ended_at: step.ended_at,
            result_json: step.result.clone(),
            error: step.error.clone(),
        })
        .collect()
}
