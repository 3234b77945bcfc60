//! The rows of tasks inside a transaction: read as a set, changed here, written back as a set.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::orchestration::state::{FailurePolicy, StepCounts, TaskState};
use crate::orchestration::store::{NewTask, settle};

/// What can change of a task, and what is needed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskRow {
    pub(crate) id: i64,
    pub(crate) uuid: Uuid,
    pub(crate) correlation_id: Uuid,
    pub(crate) policy: FailurePolicy,
    pub(crate) state: TaskState,
    pub(crate) reason: Option<String>,
    pub(crate) run: u32,
    pub(crate) counts: StepCounts,
    pub(crate) started_at: Option<i64>,
    pub(crate) ended_at: Option<i64>,
    /// The process that moved it in this transaction.
    pub(crate) owner: Option<Uuid>,
}

impl TaskRow {
    /// A new one, which is due at that moment or at once.
    pub(crate) fn new(id: i64, task: &NewTask, later: Option<i64>) -> Self {
        let steps = task.steps.iter();
        Self {
            id,
            uuid: task.task_uuid,
            correlation_id: task.correlation_id,
            policy: task.failure_policy,
            state: settle::new_task(later),
            reason: None,
            run: 1,
            counts: steps
                .map(|step| settle::new_step(step.parents.is_empty(), later).0)
                .collect(),
            started_at: None,
            ended_at: None,
            owner: None,
        }
    }

    /// Whether it starts nothing more and stops what runs.
    pub(crate) fn stops(&self) -> bool {
        self.policy.stops(&self.counts)
    }
}

/// Tasks that were read, by id.
pub(crate) type Tasks = BTreeMap<i64, TaskRow>;
