//! Submitting inside a transaction of the caller's own.

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::core::OrchestrationCore;
use super::handle::TaskHandle;
use super::lifecycle::{
    SubmitError, SubmitOptions, TaskReceipt, TaskRequest, TaskRequestProcessor,
};
use super::store::{CallerTransaction, StoreError, TransactionError};
use super::template::TaskTemplate;

/// Something could not join the caller's transaction. Nothing of it was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The request was refused. The transaction is as it was before.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The database refused.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The step has been taken over, cancelled, or completed before: what this attempt does is not wanted any
    /// more. Roll back.
    #[error(
        "step {step:?} of task {task_uuid} is no longer this attempt's (taken over, cancelled or completed): \
         roll the transaction back"
    )]
    LeaseLost {
        /// The task.
        task_uuid: Uuid,
        /// The step's name.
        step: String,
    },
    /// The result cannot be stored. The transaction is as it was before.
    #[error("{problem}")]
    Result {
        /// What is wrong with it.
        problem: String,
    },
}

impl JoinError {
    /// Whether the caller's transaction can go on; if not, it can only be rolled back.
    pub fn can_go_on(&self) -> bool {
        match self {
            Self::Submit(_) | Self::Result { .. } => true,
            Self::Transaction(error) => error.can_go_on(),
            Self::LeaseLost { .. } => false,
        }
    }
}

/// A task that was submitted inside the caller's transaction: it is there once that is committed.
#[derive(Debug)]
#[must_use = "call `wake` after the commit, or the task waits for the next look at the database"]
pub struct JoinedTask {
    task: TaskHandle,
}

impl JoinedTask {
    /// The task's id; of the task that was there before, if it is a [duplicate](Self::duplicate).
    pub fn uuid(&self) -> Uuid {
        self.task.uuid()
    }

    /// If a task of the same identity was there before: the state it was in.
    pub fn duplicate(&self) -> Option<super::state::TaskState> {
        self.task.duplicate()
    }

    /// To be called after the commit: has this process look for the task's first steps at once, and returns a
    /// handle to it. Without it they are found at the next
    /// [poll](super::OrchestrationConfig::poll_interval). After a rollback, or before the commit, it is harmless.
    pub fn wake(self) -> TaskHandle {
        self.task.context().dispatcher().nudge();
        self.task
    }
}

impl OrchestrationCore {
    /// Stores a task as a part of the caller's own transaction, on the database of this core's store: the task
    /// and what the caller writes in it are committed together or not at all. Until the commit nobody else sees
    /// the task and nothing of it runs; after a rollback it has never been.
    ///
    /// Identity is as in [`submit`](Self::submit), and what was submitted in the same transaction counts: a
    /// second submission of it is a [duplicate](JoinedTask::duplicate). On `PostgreSQL`, whoever submits the same
    /// identity elsewhere meanwhile waits for this transaction's end; on `SQLite`, whoever writes anything. So
    /// keep it short, and wait in it for nothing that another connection writes: not for
    /// [`submit`](Self::submit), and not for the task.
    ///
    /// No connection but the caller's is used; it may come from a pool of one. What was committed is as durable
    /// as that connection makes it (`PRAGMA synchronous`, `synchronous_commit`).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use postroom::orchestration::{OrchestrationCore, SubmitOptions};
    /// # use postroom::orchestration::state::TaskState;
    /// # use postroom::orchestration::store::sqlite::{SqliteOptions, SqliteStore};
    /// # use postroom::orchestration::template::TaskTemplate;
    /// # use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("shop.db");
    /// # let path = path.to_str().expect("a path of text");
    /// # let handlers = StepHandlers::new()
    /// #     .register("pack", |_: i64, _: StepContext| async { Ok::<_, StepError>(()) })
    /// #     .build()?;
    /// # let mut shipping = TaskTemplate::builder("shipping");
    /// # shipping.step("pack", "pack");
    /// # let shipping = Arc::new(shipping.build()?);
    /// let store = SqliteStore::open(path, SqliteOptions::default()).await?;
    /// let core = OrchestrationCore::builder(Arc::new(store)).handlers(handlers).start().await?;
    /// let shop = sqlx::SqlitePool::connect(&format!("sqlite:{path}")).await?;
    /// sqlx::query("CREATE TABLE orders (id INTEGER PRIMARY KEY)").execute(&shop).await?;
    ///
    /// // The order and its shipping, or neither.
    /// let mut tx = shop.begin_with("BEGIN IMMEDIATE").await?;
    /// sqlx::query("INSERT INTO orders (id) VALUES (17)").execute(&mut *tx).await?;
    /// let joined = core.submit_in(&mut tx, &shipping, 17, SubmitOptions::default()).await?;
    /// tx.commit().await?;
    /// let task = joined.wake();
    /// assert_eq!(task.wait().await?.state, TaskState::Complete);
    /// # core.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`JoinError`]: nothing was stored. [`JoinError::can_go_on`] says whether the transaction is as it was
    /// before. A transaction on `SQLite` that has read, and is then found to lag behind what others have written,
    /// cannot go on: begin it with `BEGIN IMMEDIATE`.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a transaction in which this was dropped half-way is to be dropped too. Its connection may
    /// have been told to roll all of it back, and `commit` would not say so.
    pub async fn submit_in(
        &self,
        transaction: &mut impl CallerTransaction,
        template: &Arc<TaskTemplate>,
        input: impl Serialize,
        options: SubmitOptions,
    ) -> Result<JoinedTask, JoinError> {
        let input =
            serde_json::to_value(input).map_err(|error| SubmitError::Input(error.to_string()))?;
        let request = TaskRequest {
            template: Arc::clone(template),
            input,
            options,
        };
        let context = self.context();
        let prepared = TaskRequestProcessor::new(Arc::clone(context)).prepare(request)?;
        let submitted = transaction
            .submit(context.process(), vec![prepared.task])
            .await?;
        let submission = submitted.into_iter().next().ok_or_else(|| {
            TransactionError::Broken(StoreError::Corrupt {
                what: "the store left a submission without an answer".to_owned(),
            })
        })?;
        let TaskReceipt {
            task_uuid,
            duplicate,
        } = TaskReceipt::of(submission, prepared.key)?;
        let task = self.handle(task_uuid, duplicate);
        Ok(JoinedTask { task })
    }
}
