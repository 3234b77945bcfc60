//! Intents that join a transaction of the caller's own, so that the caller's rows and ours are committed
//! together or not at all.
//!
//! Each of them is a savepoint in that transaction: whatever goes wrong inside is undone alone, and the error
//! says whether the transaction can go on.

use uuid::Uuid;

use super::{Completion, CompletionOutcome, NewTask, StoreError, Submission};

/// A transaction of the caller's own that intents can join: an [`sqlx::Transaction`] on the `SQLite` file or the
/// `PostgreSQL` database of a store. Nothing else implements it.
///
/// Use it through [`OrchestrationCore::submit_in`](crate::orchestration::OrchestrationCore::submit_in) and
/// [`StepContext::complete_in`](crate::orchestration::worker::StepContext::complete_in).
pub trait CallerTransaction: sealed::Sealed + Send {
    /// [`Store::submit`](super::Store::submit) as a part of this transaction: the tasks are there when it is
    /// committed, and until then no other connection sees them. `process` is one that is registered in the
    /// store.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]: nothing of the batch was stored. An inner error concerns its own task alone.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a transaction in which this was dropped half-way is to be dropped too. Its connection may
    /// have been told to roll all of it back, and `commit` would not say so.
    fn submit(
        &mut self,
        process: Uuid,
        tasks: Vec<NewTask>,
    ) -> impl Future<Output = Result<Vec<Result<Submission, StoreError>>, TransactionError>> + Send;

    /// [`Store::complete`](super::Store::complete) as a part of this transaction.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]: nothing was recorded.
    ///
    /// # Cancel safety
    ///
    /// As [`submit`](Self::submit).
    fn complete(
        &mut self,
        completions: Vec<Completion>,
    ) -> impl Future<Output = Result<Vec<CompletionOutcome>, TransactionError>> + Send;
}

/// An intent could not join the caller's transaction. Nothing of it was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The transaction is as it was before, and can go on.
    #[error("{0}; nothing of it was done, and the transaction can go on")]
    Undone(#[source] StoreError),
    /// The transaction can only be rolled back.
    #[error("{0}; the transaction cannot go on: roll it back and begin again")]
    Broken(#[source] StoreError),
    /// The transaction is as it was before, and can go on; but not with this store.
    #[error(
        "the transaction is on a database that does not know process {process}: begin it on the database of \
         the store"
    )]
    OtherDatabase {
        /// The process that is registered in the store.
        process: Uuid,
    },
}

impl TransactionError {
    /// Whether the caller's transaction is as it was before, and can go on.
    pub fn can_go_on(&self) -> bool {
        !matches!(self, Self::Broken(_))
    }
}

pub(super) mod sealed {
    /// Only this crate knows how to join a transaction.
    pub trait Sealed {}
}
