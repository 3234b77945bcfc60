//! Intents as a part of the caller's own transaction.

use std::time::Instant;

use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};
use uuid::Uuid;

use super::batch;
use super::fault::{Fault, is_busy, is_stale};
use super::known::Known;
use super::unit::Unit;
use crate::orchestration::store::sql::intent::{Answer, Write};
use crate::orchestration::store::transaction::sealed::Sealed;
use crate::orchestration::store::{
    CallerTransaction, Completion, CompletionOutcome, NewTask, StoreError, Submission,
    TransactionError,
};

/// Takes the lock, as a statement that writes does, before anything is read: a transaction that has read and
/// then finds that others have written since could not go on. Then the time.
const LOCK: &str = "
    UPDATE postroom_tasks SET id = id WHERE 0;
    SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER)";

impl Sealed for Transaction<'_, Sqlite> {}

impl CallerTransaction for Transaction<'_, Sqlite> {
    async fn submit(
        &mut self,
        process: Uuid,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Result<Submission, StoreError>>, TransactionError> {
        match join(self, Some(process), Write::Submit(tasks, None)).await? {
            Answer::Submit(answers, _) => Ok(answers),
            other => Err(other.unexpected()),
        }
    }

    async fn complete(
        &mut self,
        completions: Vec<Completion>,
    ) -> Result<Vec<CompletionOutcome>, TransactionError> {
        match join(self, None, Write::Complete(completions, None)).await? {
            Answer::Complete(outcomes, _) => Ok(outcomes),
            other => Err(other.unexpected()),
        }
    }
}

/// Carries out one intent between a savepoint and its release.
async fn join(
    transaction: &mut Transaction<'_, Sqlite>,
    process: Option<Uuid>,
    write: Write,
) -> Result<Answer, TransactionError> {
    let since = Instant::now();
    let broken = |fault: Fault| TransactionError::Broken(describe(fault, &write, since));
    let begun = Connection::begin(&mut **transaction).await;
    let mut savepoint = begun.map_err(|error| broken(error.into()))?;
    match carry_out(&mut savepoint, process, &write).await {
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
            let stale = matches!(&fault, Fault::Sql(error) if is_stale(error));
            if savepoint.rollback().await.is_err() || stale {
                return Err(broken(fault));
            }
            Err(TransactionError::Undone(describe(fault, &write, since)))
        }
    }
}

/// `None`: this is not the database in which that process is registered.
async fn carry_out(
    conn: &mut SqliteConnection,
    process: Option<Uuid>,
    write: &Write,
) -> Result<Option<Answer>, Fault> {
    let now: Result<(i64,), _> = sqlx::query_as(LOCK).fetch_one(&mut *conn).await;
    let (now,) = match now {
        Err(error) if process.is_some() && is_unknown_table(&error) => return Ok(None),
        now => now?,
    };
    if let Some(process) = process {
        let known: Option<(i64,)> =
            sqlx::query_as("SELECT 1 FROM postroom_processes WHERE process = ?1")
                .bind(process.as_bytes().as_slice())
                .fetch_optional(&mut *conn)
                .await?;
        if known.is_none() {
            return Ok(None);
        }
    }
    let mut unit = Unit::new(conn, now, Known::default());
    let mut answers = batch::carry_out(&mut unit, &[write]).await?;
    unit.flush().await?;
    unit.flush_history().await?;
    let none = || Fault::Corrupt("an intent was left without an answer".to_owned());
    Ok(Some(answers.pop().ok_or_else(none)?))
}

fn is_unknown_table(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.message().contains("no such table: postroom_"))
}

fn describe(fault: Fault, write: &Write, since: Instant) -> StoreError {
    let fault = match fault {
        Fault::Sql(error) if is_busy(&error) => {
            let waited = since.elapsed().as_millis();
            Fault::Busy(u64::try_from(waited).unwrap_or(u64::MAX))
        }
        fault => fault,
    };
    fault.while_doing(write.name(), "of the caller's transaction")
}
