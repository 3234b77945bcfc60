//! One transaction while it is under way: its connection, its time, and the history it will have written.

use std::fmt::Write;

use serde::Serialize;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::fault::Fault;
use super::task_row::SavedTask;
use crate::orchestration::store::sql::ledger::Ledger;

/// A transaction that holds the write lock.
pub(super) struct Unit<'c> {
    pub(super) conn: &'c mut SqliteConnection,
    pub(super) ledger: Ledger,
    tasks: Vec<SavedTask>,
}

impl<'c> Unit<'c> {
    /// The transaction has begun at this moment.
    pub(super) fn new(conn: &'c mut SqliteConnection, now: i64) -> Self {
        Self {
            conn,
            ledger: Ledger::new(now),
            tasks: Vec::new(),
        }
    }

    /// When it began. Everything in it happens at this moment.
    pub(super) fn now(&self) -> i64 {
        self.ledger.now
    }

    /// Keeps a task's row to be written at the end, or when rows of tasks are read again.
    pub(super) fn keep_task(&mut self, task: SavedTask) {
        self.tasks.push(task);
    }

    /// Writes the tasks that were kept, so that what is read next finds them.
    pub(super) async fn flush(&mut self) -> Result<(), Fault> {
        if !self.tasks.is_empty() {
            let tasks = json(&std::mem::take(&mut self.tasks))?;
            sqlx::query(SAVE_TASKS)
                .bind(tasks)
                .execute(&mut *self.conn)
                .await?;
        }
        Ok(())
    }

    /// Writes the history that was kept, so that what is written next stands behind it.
    pub(super) async fn flush_history(&mut self) -> Result<(), Fault> {
        if !self.ledger.rows.is_empty() {
            let rows = json(&std::mem::take(&mut self.ledger.rows))?;
            sqlx::query(SAVE_HISTORY)
                .bind(None::<&str>)
                .bind(rows)
                .bind(self.ledger.now)
                .execute(&mut *self.conn)
                .await?;
        }
        Ok(())
    }

    /// Writes all that was kept and commits, in one call: each call is a hand-over to the connection's thread
    /// and back.
    pub(super) async fn commit(self) -> Result<(), Fault> {
        sqlx::query(FINISH)
            .bind(json(&self.tasks)?)
            .bind(json(&self.ledger.rows)?)
            .bind(self.ledger.now)
            .execute(&mut *self.conn)
            .await?;
        Ok(())
    }
}

macro_rules! save_tasks {
    () => {
        "UPDATE postroom_tasks SET
            state = j.value ->> 1, reason = j.value ->> 2, run = j.value ->> 3,
            started_at = j.value ->> '$[4][0]', ended_at = j.value ->> '$[4][1]',
            steps_pending = j.value ->> '$[5][0]', steps_ready = j.value ->> '$[5][1]',
            steps_running = j.value ->> '$[5][2]', steps_retry_wait = j.value ->> '$[5][3]',
            steps_satisfied = j.value ->> '$[5][4]', steps_failed = j.value ->> '$[5][5]',
            steps_cancelled = j.value ->> '$[5][6]',
            owner = coalesce(unhex(j.value ->> 6), owner)
         FROM json_each(?1) j WHERE postroom_tasks.id = j.value ->> 0"
    };
}

macro_rules! save_history {
    () => {
        "INSERT INTO postroom_history
            (task_id, at, run, kind, step, attempt, epoch, from_state, to_state, process, detail)
         SELECT value ->> 'task_id', ?3, value ->> 'run', value ->> 'kind', value ->> 'step',
                value ->> 'attempt', value ->> 'epoch', value ->> 'from', value ->> 'to',
                unhex(value ->> 'process'), value ->> 'detail'
         FROM json_each(?2) ORDER BY key"
    };
}

const SAVE_TASKS: &str = save_tasks!();

const SAVE_HISTORY: &str = save_history!();

/// With empty sets the first two do nothing.
const FINISH: &str = concat!(save_tasks!(), "; ", save_history!(), "; COMMIT");

/// A set of rows as one parameter.
pub(super) fn json(rows: &(impl Serialize + ?Sized)) -> Result<String, Fault> {
    Ok(serde_json::to_string(rows)?)
}

/// Bytes as `SQLite`'s `unhex` takes them: JSON has no bytes.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// An id that is stored as 16 bytes.
pub(super) fn uuid(bytes: &[u8]) -> Result<Uuid, Fault> {
    Uuid::from_slice(bytes).map_err(|_| Fault::Corrupt(format!("{} is no id", hex(bytes))))
}
