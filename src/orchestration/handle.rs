//! A submitted task, as its submitter holds it.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::actors::{FinalizeTaskMessage, TaskFinalizerActor};
use super::context::SystemContext;
use super::lifecycle::FinalizeError;
use super::operator::{OperatorIntent, TaskError};
use super::state::TaskState;
use super::store::TaskRecord;
use crate::actor::{AskError, Handle};

/// A task in the store. Dropping it changes nothing about the task.
#[derive(Debug, Clone)]
pub struct TaskHandle {
    context: Arc<SystemContext>,
    finalizer: Handle<TaskFinalizerActor>,
    task_uuid: Uuid,
    duplicate: Option<TaskState>,
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

    pub(crate) fn context(&self) -> &Arc<SystemContext> {
        &self.context
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
            .await?
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
    /// [`TaskError::NotApplicable`] if it has ended already; otherwise as [`operate`](Self::operate).
    ///
    /// # Cancel safety
    ///
    /// As [`operate`](Self::operate).
    pub async fn cancel(&self, reason: impl Into<String>) -> Result<TaskState, TaskError> {
        let reason = reason.into();
        self.operate(OperatorIntent::Cancel { reason }).await
    }

    /// Holds the task back: no more of its steps are claimed until it is [resumed](Self::resume). Steps that
    /// run go on, and their results are recorded.
    ///
    /// # Errors
    ///
    /// [`TaskError::NotApplicable`] if it has ended or is paused already; otherwise as
    /// [`operate`](Self::operate).
    ///
    /// # Cancel safety
    ///
    /// As [`operate`](Self::operate).
    pub async fn pause(&self, reason: impl Into<String>) -> Result<TaskState, TaskError> {
        let reason = reason.into();
        self.operate(OperatorIntent::Pause { reason }).await
    }

    /// Lets a paused task go on.
    ///
    /// # Errors
    ///
    /// [`TaskError::NotApplicable`] if it is not paused; otherwise as [`operate`](Self::operate).
    ///
    /// # Cancel safety
    ///
    /// As [`operate`](Self::operate).
    pub async fn resume(&self) -> Result<TaskState, TaskError> {
        self.operate(OperatorIntent::Resume).await
    }

    /// Continues a failed task: its failed steps run again with their attempts counted anew; what is complete
    /// stays.
    ///
    /// # Errors
    ///
    /// [`TaskError::NotApplicable`] if it has not failed; otherwise as [`operate`](Self::operate).
    ///
    /// # Cancel safety
    ///
    /// As [`operate`](Self::operate).
    pub async fn retry(&self) -> Result<TaskState, TaskError> {
        self.operate(OperatorIntent::Retry).await
    }

    /// Runs the task again from this step on: the step and everything that depends on it are reset, and their
    /// results are kept as history.
    ///
    /// # Errors
    ///
    /// [`TaskError::Busy`] while one of these steps runs; otherwise as [`operate`](Self::operate).
    ///
    /// # Cancel safety
    ///
    /// As [`operate`](Self::operate).
    pub async fn rerun_from(&self, step: impl Into<String>) -> Result<TaskState, TaskError> {
        let from = step.into();
        self.operate(OperatorIntent::Rerun { from }).await
    }

    /// Does to the task what an operator asks, and returns its state after it. The task is evaluated anew in
    /// the same commit.
    ///
    /// # Errors
    ///
    /// [`TaskError`]: nothing was changed, unless the store's own error says that the outcome is unknown.
    ///
    /// # Cancel safety
    ///
    /// Once polled, it may be carried out although the future is dropped. All but
    /// [`OperatorIntent::Rerun`] are safe to repeat.
    pub async fn operate(&self, intent: OperatorIntent) -> Result<TaskState, TaskError> {
        let (task_uuid, store) = (self.task_uuid, &**self.context.store());
        let max_result = self.context.config().max_payload;
        let kind = intent.prepare(store, task_uuid, max_result).await?;
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
        intent.judge(store, task_uuid, outcome).await
    }
}

/// Leaves nothing behind of a wait that was given up.
struct ForgetWaiter<'a>(&'a TaskHandle);

impl Drop for ForgetWaiter<'_> {
    fn drop(&mut self) {
        self.0.context.announcer().forget_gone(self.0.task_uuid);
    }
}
