//! Storing a new task.

use uuid::Uuid;

use crate::orchestration::state::{FailurePolicy, TaskState};

/// A task as it is about to be stored. Everything in it has been validated.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Chosen by the submitter (time-ordered, version 7).
    pub task_uuid: Uuid,
    /// What makes this task the same as another: unique in the store (O10). One that begins with the first half of
    /// `content` ([`Identity::strict`](crate::orchestration::template::Identity::strict)) may be what the task is found by
    /// when its content is asked for; others are found all the same.
    pub identity: [u8; 32],
    /// SHA-256 of template and input alone: finds earlier runs of the same thing.
    pub content: [u8; 32],
    /// Namespace of the template.
    pub namespace: String,
    /// Name of the template.
    pub name: String,
    /// Version of the template.
    pub version: String,
    /// The template as canonical JSON; the task runs with this copy for ever.
    pub template_json: String,
    /// The input as JSON text.
    pub input_json: String,
    /// Carried by every row, span and log line of the task.
    pub correlation_id: Uuid,
    /// Higher is claimed first; 0 is normal.
    pub priority: i16,
    /// What the failure of one step means for the others.
    pub failure_policy: FailurePolicy,
    /// Nothing of it runs before this moment (milliseconds since 1970-01-01 UTC, by the store's clock); `None`,
    /// or a moment that has passed: at once.
    pub run_at: Option<i64>,
    /// The process that submitted it (for audit).
    pub submitted_by: Uuid,
    /// The steps in template order. Never empty; parents form no cycle.
    pub steps: Vec<NewStep>,
}

/// One step of a [`NewTask`].
#[derive(Debug, Clone)]
pub struct NewStep {
    /// Unique within the task.
    pub name: String,
    /// The handler it is run by.
    pub callable: String,
    /// Positions of the steps it depends on, each once.
    pub parents: Vec<u32>,
    /// How many attempts it may use up; at least 1.
    pub max_attempts: u32,
}

/// The answer to a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submission {
    /// Stored durably; steps without dependencies are ready.
    Created {
        /// The new task.
        task_uuid: Uuid,
    },
    /// A task of the same identity exists and is left as it is.
    Duplicate {
        /// The task that exists.
        task_uuid: Uuid,
        /// The state it is in.
        state: TaskState,
        /// Whether template and input are the same too; `false` only if the caller chose the key.
        same_content: bool,
    },
}
