//! The rows of tasks inside a transaction: read as a set, changed here, written back as a set.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::orchestration::state::{FailurePolicy, StepCounts, TaskState};

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
    /// Whether it starts nothing more and stops what runs.
    pub(crate) fn stops(&self) -> bool {
        self.policy.stops(&self.counts)
    }
}

/// Tasks that were read, by id.
pub(crate) type Tasks = BTreeMap<i64, TaskRow>;
