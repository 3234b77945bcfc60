//! Steps that are completed in a transaction of their handler's own.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::{StepContext, erased::encode};
use crate::orchestration::JoinError;
use crate::orchestration::store::{CallerTransaction, Completion, CompletionOutcome, StepOutcome};

/// What a completion inside the handler's transaction came to. It holds if that transaction is committed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Joined(Arc<Mutex<Option<CompletionOutcome>>>);

impl Joined {
    fn set(&self, outcome: CompletionOutcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    pub(super) fn take(&self) -> Option<CompletionOutcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<S: Send + Sync> StepContext<S> {
    /// Completes this step with `result` as a part of a transaction of the handler's own: what the handler
    /// writes in it and the completion are committed together or not at all, so that a crash in between cannot
    /// make the writing happen twice. Steps that depend on this one are ready with the commit.
    ///
    /// Do it last, commit, and return; the value that the handler then returns is not recorded. If the
    /// transaction is rolled back, it is as if this had not been called: return an error. A handler that returns
    /// a value without having committed has failed (`not_committed`) and is tried again.
    ///
    /// While the transaction is open it holds, on `PostgreSQL`, the row of the task, and on `SQLite` the lock of
    /// the whole file, for which this process's own writing waits too: do not wait in it for anything that
    /// another connection writes.
    ///
    /// ```no_run
    /// use postroom::orchestration::worker::{StepContext, StepError};
    /// use sqlx::SqlitePool;
    ///
    /// async fn charge(order: i64, step: StepContext<SqlitePool>) -> Result<i64, StepError> {
    ///     let mut tx = step.state().begin_with("BEGIN IMMEDIATE").await?;
    ///     sqlx::query("INSERT INTO charges (order_id) VALUES (?)").bind(order).execute(&mut *tx).await?;
    ///     step.complete_in(&mut tx, &order).await?;
    ///     tx.commit().await?;
    ///     Ok(order)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`JoinError`]: nothing was completed. [`JoinError::LeaseLost`] if the step is no longer this attempt's:
    /// roll back. [`JoinError::can_go_on`] says whether the transaction is still good for anything.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a transaction in which this was dropped half-way is to be dropped too. Its connection may
    /// have been told to roll all of it back, and `commit` would not say so.
    pub async fn complete_in(
        &self,
        transaction: &mut impl CallerTransaction,
        result: &(impl Serialize + Sync + ?Sized),
    ) -> Result<(), JoinError> {
        let attempt = self.under_way();
        let result_json =
            encode(result, attempt.max_result).map_err(|error| JoinError::Result {
                problem: error.message().to_owned(),
            })?;
        let completion = Completion {
            lease: attempt.claimed.lease(),
            process: attempt.process,
            outcome: StepOutcome::Success { result_json },
            elapsed: attempt.started.elapsed(),
        };
        let outcomes = transaction.complete(vec![completion]).await?;
        match outcomes.into_iter().next() {
            Some(outcome @ CompletionOutcome::Recorded { .. }) => {
                attempt.joined.set(outcome);
                Ok(())
            }
            _ => Err(JoinError::LeaseLost {
                task_uuid: self.task_uuid(),
                step: self.step_name().to_owned(),
            }),
        }
    }
}
