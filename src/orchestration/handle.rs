//! A submitted task, as its submitter holds it.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::actors::{FinalizeTaskMessage, TaskFinalizerActor};
use super::context::SystemContext;
use super::lifecycle::FinalizeError;
use super::state::TaskState;
use super::store::{OperationKind, OperationOutcome, StoreError, TaskRecord};
use crate::actor::{AskError, Handle};

/// A task in the store. Dropping it changes nothing about the task.
#[derive(Debug, Clone)]
pub struct TaskHandle {
    context: Arc<SystemContext>,
    finalizer: Handle<TaskFinalizerActor>,
    task_uuid: Uuid,
    duplicate: Option<TaskState>,
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

impl TaskHandle {
    /// How often a task that another process may finish is looked at.
    const LOOK_AGAIN: Duration = Duration::from_millis(250);

    pub(crate) fn new(
        context: Arc<SystemContext>,
        finalizer: Handle<TaskFinalizerActor>,
        task_uuid: Uuid,
        duplicate: Option<TaskState>,
    ) -> Self {
        Self {
            context,
            finalizer,
            task_uuid,
            duplicate,
        }
    }

    /// The task's id.
    pub fn uuid(&self) -> Uuid {
        self.task_uuid
    }

    /// If the submission found a task of the same identity: the state that task was in.
    pub fn duplicate(&self) -> Option<TaskState> {
        self.duplicate
    }

    /// The task as it stands.
    ///
    /// # Errors
    ///
    /// [`TaskError::NotFound`] if it was deleted; [`TaskError::Store`] if the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn status(&self) -> Result<TaskRecord, TaskError> {
        self.context
            .store()
            .task(self.task_uuid)
            .await
            .map_err(|error| TaskError::Store(Arc::new(error)))?
            .ok_or(TaskError::NotFound {
                task_uuid: self.task_uuid,
            })
    }

    /// Waits until the task is in a final state, and returns it. Has no deadline of its own.
    ///
    /// A task that fails is not an error here: look at [`TaskRecord::state`]. A task that waits for something
    /// that never comes (it is blocked, or this process claims nothing) is waited for; use
    /// [`tokio::time::timeout`] to limit that.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future changes nothing about the task.
    pub async fn wait(&self) -> Result<TaskRecord, TaskError> {
        let _forget = ForgetWaiter(self);
        loop {
            let finished = self.context.announcer().finished(self.task_uuid);
            let record = self.status().await?;
            if record.state.is_terminal() {
                return Ok(record);
            }
            // Either the end was announced, or it is time to look: another process may have finished it.
            let _ = tokio::time::timeout(Self::LOOK_AGAIN, finished).await;
        }
    }

    /// Cancels the task: no more of its steps are claimed, steps that run here are interrupted, and results that
    /// still come in are not recorded. Steps that run in other processes, or that are just being handed to
    /// their handlers, are interrupted at the next [`heartbeat`](super::OrchestrationConfig::heartbeat).
    ///
    /// # Errors
    ///
    /// [`TaskError::NotApplicable`] if it has ended already; [`TaskError::Store`] if the store failed, and
    /// then nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// Once polled, it may be carried out although the future is dropped. It is safe to repeat.
    pub async fn cancel(&self, reason: impl Into<String>) -> Result<TaskState, TaskError> {
        let kind = OperationKind::Cancel {
            reason: reason.into(),
        };
        self.operate(kind, "cancelled").await
    }

    /// Continues a failed task: its failed steps run again with their attempts counted anew; what is complete
    /// stays.
    ///
    /// # Errors
    ///
    /// [`TaskError::NotApplicable`] if it has not failed; [`TaskError::Store`] if the store failed, and then
    /// nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// Once polled, it may be carried out although the future is dropped. It is safe to repeat.
    pub async fn retry(&self) -> Result<TaskState, TaskError> {
        self.operate(OperationKind::Retry, "retried").await
    }

    async fn operate(
        &self,
        kind: OperationKind,
        action: &'static str,
    ) -> Result<TaskState, TaskError> {
        let task_uuid = self.task_uuid;
        let outcome = self
            .finalizer
            .ask(FinalizeTaskMessage { task_uuid, kind })
            .await
            .map_err(|error| match error {
                AskError::Handler(FinalizeError(error)) => TaskError::Store(error),
                other => TaskError::Unavailable {
                    reason: other.to_string(),
                },
            })?;
        match outcome {
            OperationOutcome::Applied { state } => Ok(state),
            OperationOutcome::NotApplicable { state } => Err(TaskError::NotApplicable {
                task_uuid,
                state,
                action,
            }),
            OperationOutcome::NotFound => Err(TaskError::NotFound { task_uuid }),
        }
    }
}

/// Leaves nothing behind of a wait that was given up.
struct ForgetWaiter<'a>(&'a TaskHandle);

impl Drop for ForgetWaiter<'_> {
    fn drop(&mut self) {
        self.0.context.announcer().forget_gone(self.0.task_uuid);
    }
}
