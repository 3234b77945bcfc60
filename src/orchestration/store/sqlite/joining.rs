//! Intents as a part of the caller's own transaction.

use std::time::Instant;

use sqlx::{Sqlite, SqliteConnection, Transaction};
use uuid::Uuid;

use super::batch;
use super::connect::clock;
use super::fault::{Fault, is_busy, is_stale};
use super::known::Known;
use super::unit::Unit;
use crate::orchestration::store::sql::intent::{Answer, Write};
use crate::orchestration::store::sql::joining::{self, Joined};
use crate::orchestration::store::transaction::sealed::Sealed;
use crate::orchestration::store::{
    CallerTransaction, Completion, CompletionOutcome, NewTask, StoreError, Submission,
    TransactionError,
};

/// Takes the lock, as a statement that writes does, before anything is read: a transaction that has read and
/// then finds that others have written since could not go on. Then the time.
const LOCK: &str = concat!(
    "UPDATE postroom_tasks SET id = id WHERE 0; SELECT ",
    clock!()
);

impl Sealed for Transaction<'_, Sqlite> {}

impl CallerTransaction for Transaction<'_, Sqlite> {
    async fn submit(
        &mut self,
        process: Uuid,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Result<Submission, StoreError>>, TransactionError> {
        joining::submit(self, process, tasks).await
    }

    async fn complete(
        &mut self,
        completions: Vec<Completion>,
    ) -> Result<Vec<CompletionOutcome>, TransactionError> {
        joining::complete(self, completions).await
    }
}

impl Joined for Sqlite {
    type Fault = Fault;

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

    fn can_go_on(fault: &Fault) -> bool {
        !matches!(fault, Fault::Sql(error) if is_stale(error))
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
}

fn is_unknown_table(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.message().contains("no such table: postroom_"))
}
