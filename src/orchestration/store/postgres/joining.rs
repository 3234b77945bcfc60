//! Intents as a part of the caller's own transaction.

use std::time::Instant;

use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row, Transaction};
use uuid::Uuid;

use super::batch;
use super::connect::{CLOCK, millis};
use super::fault::{Fault, Remedy};
use super::notify::CHANNEL;
use super::unit::Unit;
use crate::orchestration::store::sql::intent::{Answer, Write};
use crate::orchestration::store::sql::joining::{self, Joined};
use crate::orchestration::store::transaction::sealed::Sealed;
use crate::orchestration::store::{
    CallerTransaction, Completion, CompletionOutcome, NewTask, StoreError, Submission,
    TransactionError,
};

impl Sealed for Transaction<'_, Postgres> {}

impl CallerTransaction for Transaction<'_, Postgres> {
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

impl Joined for Postgres {
    type Fault = Fault;

    async fn carry_out(
        conn: &mut PgConnection,
        process: Option<Uuid>,
        write: &Write,
    ) -> Result<Option<Answer>, Fault> {
        let now = sqlx::query(AssertSqlSafe(format!("SELECT {CLOCK} AS now")));
        let now = now.persistent(false).fetch_one(&mut *conn).await?;
        let now: i64 = now.try_get("now")?;
        if let Some(process) = process
            && !knows(conn, process).await?
        {
            return Ok(None);
        }
        // The row of a commit answers for a COMMIT of the writer's; this one is the caller's, and has none. The
        // caller's connection may be lent by a pooler: no statement is kept by name.
        let mut unit = Unit::new(conn, now, false, None);
        let mut answers = batch::carry_out(&mut unit, &[write]).await?;
        unit.flush().await?;
        if unit.made_work {
            // Sent when the caller commits, and to this process too, which knows nothing of it yet.
            sqlx::query("SELECT pg_notify($1, '')")
                .persistent(false)
                .bind(CHANNEL)
                .execute(&mut *unit.conn)
                .await?;
        }
        let none = || Fault::Corrupt("an intent was left without an answer".to_owned());
        Ok(Some(answers.pop().ok_or_else(none)?))
    }

    /// Of those that see the past, a transaction of a stricter level would get the same again.
    fn can_go_on(fault: &Fault) -> bool {
        !fault.is_code("40001") && fault.remedy() != Remedy::Reconnect
    }

    fn describe(fault: Fault, write: &Write, since: Instant) -> StoreError {
        fault.while_doing(write.name(), "of the caller's transaction", millis(since))
    }
}

async fn knows(conn: &mut PgConnection, process: Uuid) -> Result<bool, Fault> {
    let known = sqlx::query("SELECT 1 FROM postroom.processes WHERE process = $1")
        .persistent(false)
        .bind(process)
        .fetch_optional(conn)
        .await
        .map_err(Fault::from);
    match known {
        Ok(row) => Ok(row.is_some()),
        // There is no such table.
        Err(fault) if fault.is_code("42P01") => Ok(false),
        Err(fault) => Err(fault),
    }
}
