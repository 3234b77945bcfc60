//! Intents as a part of the caller's own transaction: each stands between a savepoint and its release.

use std::time::Instant;

use sqlx::{Connection, Database, Transaction};
use uuid::Uuid;

use super::intent::{Answer, Write};
use crate::orchestration::store::{
    Completion, CompletionOutcome, NewTask, StoreError, Submission, TransactionError,
};

/// A database whose transactions intents can join.
pub(crate) trait Joined: Database {
    type Fault: From<sqlx::Error> + Send;

    /// Carries out an intent in a transaction that is not ended. `None`: this is not the database in which that process
    /// is registered.
    fn carry_out(
        conn: &mut Self::Connection,
        process: Option<Uuid>,
        write: &Write,
    ) -> impl Future<Output = Result<Option<Answer>, Self::Fault>> + Send;

    /// Whether a transaction in which this happened can go on once the savepoint is undone.
    fn can_go_on(fault: &Self::Fault) -> bool;

    fn describe(fault: Self::Fault, write: &Write, since: Instant) -> StoreError;
}

pub(crate) async fn submit<DB: Joined>(
    transaction: &mut Transaction<'_, DB>,
    process: Uuid,
    tasks: Vec<NewTask>,
) -> Result<Vec<Result<Submission, StoreError>>, TransactionError> {
    match join(transaction, Some(process), Write::Submit(tasks, None)).await? {
        Answer::Submit(answers, _) => Ok(answers),
        other => Err(other.unexpected()),
    }
}

pub(crate) async fn complete<DB: Joined>(
    transaction: &mut Transaction<'_, DB>,
    completions: Vec<Completion>,
) -> Result<Vec<CompletionOutcome>, TransactionError> {
    match join(transaction, None, Write::Complete(completions, None)).await? {
        Answer::Complete(outcomes, _) => Ok(outcomes),
        other => Err(other.unexpected()),
    }
}

async fn join<DB: Joined>(
    transaction: &mut Transaction<'_, DB>,
    process: Option<Uuid>,
    write: Write,
) -> Result<Answer, TransactionError> {
    let since = Instant::now();
    let broken = |fault: DB::Fault| TransactionError::Broken(DB::describe(fault, &write, since));
    let begun = Connection::begin(&mut **transaction).await;
    let mut savepoint = begun.map_err(|error| broken(error.into()))?;
    match DB::carry_out(&mut savepoint, process, &write).await {
        Ok(Some(answer)) => {
            let released = savepoint.commit().await;
            released.map_err(|error| broken(error.into()))?;
            Ok(answer)
        }
        Ok(None) => {
            let undone = savepoint.rollback().await;
            undone.map_err(|error| broken(error.into()))?;
            let process = process.unwrap_or_default();
            Err(TransactionError::OtherDatabase { process })
        }
        Err(fault) => {
            let can_go_on = DB::can_go_on(&fault);
            if savepoint.rollback().await.is_err() || !can_go_on {
                return Err(broken(fault));
            }
            Err(TransactionError::Undone(DB::describe(fault, &write, since)))
        }
    }
}
