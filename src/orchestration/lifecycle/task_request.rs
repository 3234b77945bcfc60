//! Validates a request to run a template, and works out which task it means.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use uuid::Uuid;

use crate::orchestration::context::SystemContext;
use crate::orchestration::definition::Definition;
use crate::orchestration::state::TaskState;
use crate::orchestration::store::{NewStep, NewTask, StoreError, Submission};
use crate::orchestration::template::{Identity, TaskTemplate, TemplateErrors, content_hash};

/// What makes a task the same as another (O10).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum IdentityStrategy {
    /// Template and input: submitting both again finds the first task.
    #[default]
    Strict,
    /// A key that the caller chose: submitting it again finds the first task, and is an error if template or
    /// input differ from that task's.
    Caller(String),
    /// Nothing: every submission is a new task.
    Unique,
}

/// What a submission may say besides template and input.
#[derive(Debug, Clone, Default)]
pub struct SubmitOptions {
    /// What makes the task the same as another.
    pub identity: IdentityStrategy,
    /// Higher is claimed first; 0 is normal.
    pub priority: i16,
    /// Nothing of the task runs before this moment, by the store's clock; `None`: at once.
    pub run_at: Option<SystemTime>,
    /// Carried by the task's rows, spans and log lines; `None` makes a new one.
    pub correlation_id: Option<Uuid>,
    /// The id of the task if it is new; `None` makes one (version 7). Must never have been used before.
    pub task_uuid: Option<Uuid>,
}

/// A request to run a template.
#[derive(Debug, Clone)]
pub struct TaskRequest {
    /// What to run.
    pub template: Arc<TaskTemplate>,
    /// With which input.
    pub input: Value,
    /// Further wishes.
    pub options: SubmitOptions,
}

/// The answer to an accepted request. The task is stored durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskReceipt {
    /// The task that will run, or has run.
    pub task_uuid: Uuid,
    /// If the task was there before: the state it was found in.
    pub duplicate: Option<TaskState>,
}

impl TaskReceipt {
    /// What the store's answer means to the submitter. `key`: the one that the caller chose.
    pub(crate) fn of(
        answer: Result<Submission, StoreError>,
        key: Option<String>,
    ) -> Result<Self, SubmitError> {
        let answer = answer.map_err(|error| SubmitError::Store(Arc::new(error)))?;
        match (answer, key) {
            (Submission::Created { task_uuid }, _) => Ok(Self {
                task_uuid,
                duplicate: None,
            }),
            (
                Submission::Duplicate {
                    task_uuid,
                    same_content: false,
                    ..
                },
                Some(key),
            ) => Err(SubmitError::KeyConflict { key, task_uuid }),
            (
                Submission::Duplicate {
                    task_uuid, state, ..
                },
                _,
            ) => Ok(Self {
                task_uuid,
                duplicate: Some(state),
            }),
        }
    }
}

/// Why a request was not accepted. Nothing was stored, unless the store's own error says that the outcome is
/// unknown; submitting again is always safe.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The template cannot be run here: a handler is missing, or does not accept a step's settings.
    #[error("the template cannot be run here: {0}")]
    Template(#[source] TemplateErrors),
    /// The input is too large.
    #[error(
        "the input is {bytes} bytes of JSON, the limit is {limit}: pass a reference to the data instead"
    )]
    InputTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit, [`OrchestrationConfig::max_payload`](crate::orchestration::OrchestrationConfig).
        limit: usize,
    },
    /// The input cannot be written as JSON.
    #[error("the input cannot be written as JSON: {0}")]
    Input(String),
    /// The caller's key belongs to a task with another template or input.
    #[error(
        "the key {key:?} belongs to task {task_uuid}, which has another template or input: choose another key"
    )]
    KeyConflict {
        /// The key.
        key: String,
        /// The task that has it.
        task_uuid: Uuid,
    },
    /// The store failed.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// More is being submitted than can be stored; the request was not stored.
    #[error(
        "{waiting} submissions wait to be stored, and there was no room for this one within {waited:?}: submit it \
         again in {retry_after:?}, and fewer at a time"
    )]
    Overloaded {
        /// As many as may wait, [`OrchestrationConfig::mailbox_capacity`](crate::orchestration::OrchestrationConfig).
        waiting: usize,
        /// [`OrchestrationConfig::submit_patience`](crate::orchestration::OrchestrationConfig).
        waited: Duration,
        /// How long to wait before it makes sense to try again.
        retry_after: Duration,
    },
    /// The orchestration is shutting down; the request was not stored.
    #[error("the orchestration did not accept the request: {reason}")]
    Unavailable {
        /// What the mailbox said.
        reason: String,
    },
}

impl SubmitError {
    /// How long to wait before submitting again, if waiting is what helps: the orchestration is
    /// [overloaded](Self::Overloaded), or the database [keeps failing](StoreError::CircuitOpen).
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after, .. } => Some(*retry_after),
            Self::Store(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// A request that has been found good.
#[derive(Debug)]
pub(crate) struct PreparedTask {
    pub(crate) task: NewTask,
    pub(crate) definition: Arc<Definition>,
    /// Set if the caller chose the key.
    pub(crate) key: Option<String>,
}

/// The logic of the task request actor.
#[derive(Debug, Clone)]
pub(crate) struct TaskRequestProcessor {
    context: Arc<SystemContext>,
}

impl TaskRequestProcessor {
    pub(crate) fn new(context: Arc<SystemContext>) -> Self {
        Self { context }
    }

    pub(crate) fn prepare(&self, request: TaskRequest) -> Result<PreparedTask, SubmitError> {
        let TaskRequest {
            template,
            input,
            options,
        } = request;
        if self.context.config().require_known_handlers {
            self.context
                .handlers()
                .check(&template)
                .map_err(SubmitError::Template)?;
        }
        let input_json =
            serde_json::to_string(&input).map_err(|error| SubmitError::Input(error.to_string()))?;
        let limit = self.context.config().max_payload;
        if input_json.len() > limit {
            return Err(SubmitError::InputTooLarge {
                bytes: input_json.len(),
                limit,
            });
        }
        let (identity, key) = match options.identity {
            IdentityStrategy::Strict => (Identity::strict(&template, &input), None),
            IdentityStrategy::Caller(key) => (Identity::caller(&template, &key), Some(key)),
            IdentityStrategy::Unique => (Identity::unique(&template, &input), None),
        };
        let graph = template.graph();
        let steps = template
            .steps()
            .iter()
            .enumerate()
            .map(|(index, step)| NewStep {
                name: step.name().to_owned(),
                callable: step.callable().to_owned(),
                parents: graph
                    .parents(index)
                    .iter()
                    .map(|&parent| position(parent))
                    .collect(),
                max_attempts: step.retry().effective_attempts(),
            })
            .collect();
        let task = NewTask {
            task_uuid: options.task_uuid.unwrap_or_else(Uuid::now_v7),
            identity: *identity.as_bytes(),
            content: content_hash(&template, &input),
            namespace: template.namespace().to_owned(),
            name: template.name().to_owned(),
            version: template.version().to_owned(),
            template_json: template.canonical_json(),
            input_json: input_json.clone(),
            correlation_id: options.correlation_id.unwrap_or_else(Uuid::now_v7),
            priority: options.priority,
            failure_policy: template.failure_policy(),
            run_at: options.run_at.map(milliseconds),
            submitted_by: self.context.process(),
            steps,
        };
        let definition = Arc::new(Definition::new(template, Arc::from(input_json)));
        Ok(PreparedTask {
            task,
            definition,
            key,
        })
    }
}

/// Milliseconds since 1970-01-01 UTC; what lies before counts as that moment.
fn milliseconds(moment: SystemTime) -> i64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn position(index: usize) -> u32 {
    // A template has far fewer steps than this; the template's own limit says so.
    u32::try_from(index).unwrap_or(u32::MAX)
}
