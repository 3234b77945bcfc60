//! What operators do to tasks, by the names that people use.

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::config::OrchestrationConfig;
use super::state::{StepState, TaskState};
use super::store::{Operation, OperationKind, OperationOutcome, Store, StoreError};

/// What is to be done to a task. Steps are named as in the template.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatorIntent {
    /// Start nothing more and end it; steps that run are interrupted.
    Cancel {
        /// Shown to people.
        reason: String,
    },
    /// Claim nothing more of it until it is resumed; steps that run go on.
    Pause {
        /// Shown to people.
        reason: String,
    },
    /// Let a paused task go on.
    Resume,
    /// Continue a failed task: what failed runs again with its attempts counted anew, what is complete stays.
    Retry,
    /// Declare an unfinished or failed task done.
    Resolve {
        /// Shown to people.
        reason: String,
    },
    /// Declare a step done without a result, so that what depends on it goes on.
    ResolveStep {
        /// Its name.
        step: String,
        /// Shown to people.
        reason: String,
    },
    /// Hand in the result of a step by hand, so that what depends on it goes on.
    CompleteStep {
        /// Its name.
        step: String,
        /// Its result.
        result: Value,
    },
    /// Run the task again from this step on: the step and its descendants are reset, and their results are
    /// kept as history.
    Rerun {
        /// The step's name.
        from: String,
    },
}

/// A task could not be read or changed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The store holds no such task.
    #[error("there is no task {task_uuid}")]
    NotFound {
        /// The id asked for.
        task_uuid: Uuid,
    },
    /// The task has no such step.
    #[error("task {task_uuid} has no step {step:?}")]
    NoSuchStep {
        /// The task.
        task_uuid: Uuid,
        /// The name asked for.
        step: String,
    },
    /// In this state it cannot be done.
    #[error("task {task_uuid} is {state}: it cannot be {action}")]
    NotApplicable {
        /// The task.
        task_uuid: Uuid,
        /// Its state.
        state: TaskState,
        /// What was asked for.
        action: &'static str,
    },
    /// In this state of the step it cannot be done.
    #[error("step {step:?} of task {task_uuid} is {state}: it cannot be {action}")]
    StepNotApplicable {
        /// The task.
        task_uuid: Uuid,
        /// The step.
        step: String,
        /// The step's state.
        state: StepState,
        /// What was asked for.
        action: &'static str,
    },
    /// A step that would have to be reset runs.
    #[error("step {step:?} of task {task_uuid} runs: wait for its end, or cancel the task first")]
    Busy {
        /// The task.
        task_uuid: Uuid,
        /// The step that runs.
        step: String,
    },
    /// A result given by hand is too large.
    #[error(
        "the result is {bytes} bytes of JSON, the limit is {limit}: pass a reference to the data instead"
    )]
    ResultTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit, [`OrchestrationConfig::max_payload`].
        limit: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The orchestration is shutting down.
    #[error("the orchestration did not carry it out: {reason}")]
    Unavailable {
        /// What the mailbox said.
        reason: String,
    },
}

impl From<StoreError> for TaskError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl OperatorIntent {
    /// Completes the sentence "it cannot be ...".
    const fn action(&self) -> &'static str {
        match self {
            Self::Cancel { .. } => "cancelled",
            Self::Pause { .. } => "paused",
            Self::Resume => "resumed",
            Self::Retry => "retried",
            Self::Resolve { .. } | Self::ResolveStep { .. } => "resolved",
            Self::CompleteStep { .. } => "completed by hand",
            Self::Rerun { .. } => "rerun",
        }
    }

    fn step(&self) -> Option<&str> {
        match self {
            Self::ResolveStep { step, .. } | Self::CompleteStep { step, .. } => Some(step),
            Self::Rerun { from } => Some(from),
            _ => None,
        }
    }

    /// The operation that a store carries out.
    pub(crate) async fn prepare(
        &self,
        store: &dyn Store,
        task_uuid: Uuid,
        max_result: usize,
    ) -> Result<OperationKind, TaskError> {
        let step = match self.step() {
            Some(name) => position(store, task_uuid, name).await?,
            None => 0,
        };
        Ok(match self {
            Self::Cancel { reason } => OperationKind::Cancel {
                reason: reason.clone(),
            },
            Self::Pause { reason } => OperationKind::Pause {
                reason: reason.clone(),
            },
            Self::Resume => OperationKind::Resume,
            Self::Retry => OperationKind::Retry,
            Self::Resolve { reason } => OperationKind::Resolve {
                reason: reason.clone(),
            },
            Self::ResolveStep { reason, .. } => OperationKind::ResolveStep {
                step,
                reason: reason.clone(),
            },
            Self::CompleteStep { result, .. } => OperationKind::CompleteStep {
                step,
                result_json: result_json(result, max_result)?,
            },
            Self::Rerun { .. } => OperationKind::Rerun { from: step },
        })
    }

    /// The task's state now, or why nothing was done.
    pub(crate) async fn judge(
        &self,
        store: &dyn Store,
        task_uuid: Uuid,
        outcome: OperationOutcome,
    ) -> Result<TaskState, TaskError> {
        let step = || self.step().unwrap_or_default().to_owned();
        match outcome {
            OperationOutcome::Applied { state } => Ok(state),
            OperationOutcome::NotApplicable { state } => Err(TaskError::NotApplicable {
                task_uuid,
                state,
                action: self.action(),
            }),
            OperationOutcome::StepNotApplicable { state } => Err(TaskError::StepNotApplicable {
                task_uuid,
                step: step(),
                state,
                action: self.action(),
            }),
            OperationOutcome::Busy { step } => {
                let steps = store.steps(task_uuid).await?;
                let busy = steps.into_iter().find(|record| record.index == step);
                let step = busy.map_or_else(|| step.to_string(), |record| record.name);
                Err(TaskError::Busy { task_uuid, step })
            }
            OperationOutcome::NoSuchStep => Err(TaskError::NoSuchStep {
                task_uuid,
                step: step(),
            }),
            OperationOutcome::NotFound => Err(TaskError::NotFound { task_uuid }),
        }
    }
}

async fn position(store: &dyn Store, task_uuid: Uuid, name: &str) -> Result<u32, TaskError> {
    let steps = store.steps(task_uuid).await?;
    if steps.is_empty() {
        return Err(TaskError::NotFound { task_uuid });
    }
    let found = steps.into_iter().find(|step| step.name == name);
    found
        .map(|step| step.index)
        .ok_or_else(|| TaskError::NoSuchStep {
            task_uuid,
            step: name.to_owned(),
        })
}

fn result_json(result: &Value, limit: usize) -> Result<String, TaskError> {
    let json = result.to_string();
    let bytes = json.len();
    if bytes > limit {
        return Err(TaskError::ResultTooLarge { bytes, limit });
    }
    Ok(json)
}

/// Does to tasks what operators ask, on a store and without running anything: for command lines and
/// dashboards. In a process that runs workflows use [`TaskHandle`](super::TaskHandle), which also interrupts
/// and wakes what runs there.
///
/// Each operation is one commit, in which the task is evaluated anew. Processes that run its steps learn of it
/// from their next heartbeat, those that could claim from their next poll.
#[derive(Clone)]
pub struct Operator {
    store: Arc<dyn Store>,
    process: Uuid,
    max_result: usize,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

impl Operator {
    /// An operator on a store. `process` stands in the history of what it does.
    pub fn new(store: Arc<dyn Store>, process: Uuid) -> Self {
        Self {
            store,
            process,
            max_result: OrchestrationConfig::default().max_payload,
        }
    }

    /// Does it, and returns the task's state after it.
    ///
    /// # Errors
    ///
    /// [`TaskError`]; nothing was changed, unless the store's own error says that the outcome is unknown.
    ///
    /// # Cancel safety
    ///
    /// Once polled, it may be carried out although the future is dropped.
    pub async fn operate(
        &self,
        task_uuid: Uuid,
        intent: OperatorIntent,
    ) -> Result<TaskState, TaskError> {
        let store = &*self.store;
        let kind = intent.prepare(store, task_uuid, self.max_result).await?;
        let operation = Operation {
            task_uuid,
            kind,
            process: self.process,
        };
        let outcomes = store.operate(vec![operation]).await?;
        let outcome = outcomes
            .into_iter()
            .next()
            .ok_or_else(|| StoreError::Corrupt {
                what: "the store left an operation without an answer".to_owned(),
            })?;
        intent.judge(store, task_uuid, outcome).await
    }
}
