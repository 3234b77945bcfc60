//! Reading back, and checking.

use std::sync::Arc;

use uuid::Uuid;

use super::state::{State, Task};
use crate::orchestration::state::TaskState;
use crate::orchestration::store::audit::{Audited, audit};
use crate::orchestration::store::{
    HistoryKind, HistoryRecord, StepRecord, TaskDefinition, TaskFilter, TaskRecord,
};

impl State {
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

    pub(super) fn audit(&self) -> Vec<String> {
        let mut found = Vec::new();
        for task in &self.tasks {
            let ends = task.history.iter().filter(|row| {
                let to = row
                    .to
                    .as_deref()
                    .and_then(|to| to.parse::<TaskState>().ok());
                row.kind == HistoryKind::TaskState
                    && row.run == task.run
                    && to.is_some_and(TaskState::is_terminal)
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
