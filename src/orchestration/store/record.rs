//! What can be read back. Times are milliseconds since 1970-01-01 UTC by the store's clock.

use serde::Serialize;
use uuid::Uuid;

use crate::orchestration::state::{FailurePolicy, StepState, TaskState};

/// A task as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskRecord {
    /// Its id.
    pub task_uuid: Uuid,
    /// Namespace of its template.
    pub namespace: String,
    /// Name of its template.
    pub name: String,
    /// Version of its template.
    pub version: String,
    /// Its state.
    pub state: TaskState,
    /// Why it is blocked, paused, cancelled, resolved or failed; `None` otherwise.
    pub reason: Option<String>,
    /// 1, and one more for each time an operator had it run again.
    pub run: u32,
    /// Of every row, span and log line.
    pub correlation_id: Uuid,
    /// How many steps it has.
    pub steps_total: u32,
    /// How many of them satisfy their dependents (complete, resolved, skipped).
    pub steps_complete: u32,
    /// How many have failed for good.
    pub steps_failed: u32,
    /// Higher is claimed first; 0 is normal.
    pub priority: i16,
    /// What the failure of one step means for the others.
    pub failure_policy: FailurePolicy,
    /// SHA-256 of template and input, in hexadecimal.
    pub content: String,
    /// When it was submitted.
    pub created_at: i64,
    /// When its first step was claimed.
    pub started_at: Option<i64>,
    /// When it reached its final state.
    pub ended_at: Option<i64>,
}

/// What a task was stored with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDefinition {
    /// Its template as canonical JSON.
    pub template_json: String,
    /// Its input as JSON text.
    pub input_json: String,
}

/// A step as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepRecord {
    /// Its position in the template.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its handler.
    pub callable: String,
    /// Its state.
    pub state: StepState,
    /// Attempts used so far.
    pub attempts: u32,
    /// Attempts allowed.
    pub max_attempts: u32,
    /// How many times its lease ran out or was taken away.
    pub lost_leases: u32,
    /// Rises with every claim and operator action.
    pub epoch: u64,
    /// How many of its parents are not done.
    pub unmet_dependencies: u32,
    /// Positions of its parents, in template order.
    pub parents: Vec<u32>,
    /// The process that holds its lease.
    pub owner: Option<Uuid>,
    /// When the lease runs out.
    pub lease_until: Option<i64>,
    /// When the next attempt is due.
    pub due_at: Option<i64>,
    /// When its last attempt started.
    pub started_at: Option<i64>,
    /// When its last attempt ended.
    pub ended_at: Option<i64>,
    /// Its result as JSON text.
    pub result_json: Option<String>,
    /// Its last failure, as `kind: message`.
    pub error: Option<String>,
}

/// What a history row tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryKind {
    /// The task changed its state.
    TaskState,
    /// An attempt of a step ended.
    Attempt,
    /// A completion came too late and was not accepted.
    Stale,
    /// A lease ran out or its process died.
    LeaseLost,
    /// An operator changed a step: reset it, resolved it, or completed it by hand.
    Operator,
}

impl HistoryKind {
    /// Its name, as it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskState => "task_state",
            Self::Attempt => "attempt",
            Self::Stale => "stale",
            Self::LeaseLost => "lease_lost",
            Self::Operator => "operator",
        }
    }
}

/// One row of a task's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryRecord {
    /// When.
    pub at: i64,
    /// In which run of the task.
    pub run: u32,
    /// What it tells of.
    pub kind: HistoryKind,
    /// Position of the step, if it concerns one.
    pub step: Option<u32>,
    /// Which attempt, if it concerns one.
    pub attempt: Option<u32>,
    /// The epoch of that attempt.
    pub epoch: Option<u64>,
    /// State before, where the row tells of a change.
    pub from: Option<String>,
    /// State after.
    pub to: Option<String>,
    /// The process that caused it.
    pub process: Option<Uuid>,
    /// Failure, reason, or how long it took.
    pub detail: Option<String>,
    /// The result that the step had until then, as JSON text, where an operator reset it.
    pub result_json: Option<String>,
}

/// Which tasks to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only in these states; empty: in any.
    pub states: Vec<TaskState>,
    /// Only of the template with this namespace and name.
    pub template: Option<(String, String)>,
    /// Only of this template and input ([`TaskRecord::content`]).
    pub content: Option<[u8; 32]>,
    /// At most this many.
    pub limit: u32,
}

impl Default for TaskFilter {
    /// Every task, at most 100.
    fn default() -> Self {
        Self {
            states: Vec::new(),
            template: None,
            content: None,
            limit: 100,
        }
    }
}

/// A step that failed for good and that nobody has dealt with: its task was neither cancelled nor resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The task.
    pub task_uuid: Uuid,
    /// Namespace of its template.
    pub namespace: String,
    /// Name of its template.
    pub name: String,
    /// Version of its template.
    pub version: String,
    /// The state of the task. If it has not ended, other branches go on.
    pub task_state: TaskState,
    /// Of every row, span and log line of the task.
    pub correlation_id: Uuid,
    /// The step's position in the template.
    pub index: u32,
    /// The step's name.
    pub step: String,
    /// Its handler.
    pub callable: String,
    /// Attempts used.
    pub attempts: u32,
    /// Attempts allowed.
    pub max_attempts: u32,
    /// How many times its lease ran out or was taken away.
    pub lost_leases: u32,
    /// Why it failed, as `kind: message`.
    pub error: Option<String>,
    /// When it failed.
    pub failed_at: Option<i64>,
}

/// Which dead letters to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only of templates of this namespace.
    pub namespace: Option<String>,
    /// At most this many.
    pub limit: u32,
}

impl Default for DeadLetterFilter {
    /// Of every namespace, at most 100.
    fn default() -> Self {
        Self {
            namespace: None,
            limit: 100,
        }
    }
}
