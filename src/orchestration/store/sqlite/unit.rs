//! One transaction while it is under way: its connection, its time, and what it will have written.

use std::fmt::Write;

use serde::Serialize;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::completed::Completed;
use super::fault::Fault;
use super::fresh::Fresh;
use super::known::Known;
use super::opening::Ahead;
use super::readied::Readied;
use super::set::{Binds, Bound, Script};
use super::started::Started;
use crate::orchestration::state::StepState;
use crate::orchestration::store::sql::judge::Child;
use crate::orchestration::store::sql::ledger::{HistoryRow, Ledger};
use crate::orchestration::store::sql::task_row::{TaskRow, Tasks};

/// A transaction that holds the write lock.
pub(super) struct Unit<'c> {
    pub(super) conn: &'c mut SqliteConnection,
    pub(super) ledger: Ledger,
    pub(super) known: Known,
    /// Tasks that are to be inserted.
    pub(super) fresh: Vec<Fresh<'c>>,
    /// Steps that are to be written as ready, unless they are claimed.
    pub(super) readied: Vec<Readied<'c>>,
    /// Claimed steps that are to be written as they run.
    pub(super) started: Vec<Started>,
    /// Steps that are to be written as they were completed.
    pub(super) completed: Vec<Completed<'c>>,
    /// Their children that wait for others too, and the states these go to.
    pub(super) waiting: Vec<(Child, StepState)>,
    /// What was read as it began.
    pub(super) ahead: Ahead<'c>,
    /// Rows that are to be written.
    tasks: Tasks,
}

impl<'c> Unit<'c> {
    /// The transaction has begun at this moment.
    pub(super) fn new(conn: &'c mut SqliteConnection, now: i64, known: Known) -> Self {
        Self {
            conn,
            ledger: Ledger::new(now),
            known,
            fresh: Vec::new(),
            readied: Vec::new(),
            started: Vec::new(),
            completed: Vec::new(),
            waiting: Vec::new(),
            ahead: Ahead::default(),
            tasks: Tasks::new(),
        }
    }

    /// When it began. Everything in it happens at this moment.
    pub(super) fn now(&self) -> i64 {
        self.ledger.now
    }

    /// Keeps a task's row to be written at the end, or when rows of tasks are read by a condition on them.
    pub(super) fn keep_task(&mut self, task: TaskRow) {
        self.tasks.insert(task.id, task);
    }

    /// Takes out a task's row that is kept.
    pub(super) fn take_kept(&mut self, id: i64) -> Option<TaskRow> {
        self.tasks.remove(&id)
    }

    /// A task's row, if it is kept or known.
    pub(super) fn known_task(&self, id: i64) -> Option<&TaskRow> {
        self.tasks.get(&id).or_else(|| self.known.task(id))
    }

    /// Writes the steps and tasks that were kept, so that what is read next finds them.
    pub(super) async fn flush(&mut self) -> Result<(), Fault> {
        let mut script = Script::default();
        self.steps_into(&mut script).await?;
        script.level(&[self.tasks.len()]);
        self.tasks_into(&mut script).await?;
        script.run(self.conn).await
    }

    /// Writes the new tasks and the steps that were kept, so that steps that are read next are found.
    pub(super) async fn flush_steps(&mut self) -> Result<(), Fault> {
        let mut script = Script::default();
        self.steps_into(&mut script).await?;
        script.run(self.conn).await
    }

    /// How many steps are kept.
    pub(super) fn kept_steps(&self) -> usize {
        let fresh = self.fresh.iter().map(|fresh| fresh.task.steps.len());
        self.readied.len() + fresh.sum::<usize>()
    }

    /// Writes the history that was kept, so that what is written next stands behind it.
    pub(super) async fn flush_history(&mut self) -> Result<(), Fault> {
        let mut script = Script::default();
        self.history_into(&mut script).await?;
        script.run(self.conn).await
    }

    /// Writes all that was kept and commits, in one call: each call is a hand-over to the connection's thread
    /// and back. Returns what is known after it.
    pub(super) async fn commit(mut self) -> Result<Known, Fault> {
        let mut script = Script::default();
        self.steps_into(&mut script).await?;
        script.level(&[self.tasks.len(), self.ledger.rows.len()]);
        self.tasks_into(&mut script).await?;
        self.history_into(&mut script).await?;
        script.statement("COMMIT");
        script.run(self.conn).await?;
        Ok(self.known)
    }

    /// Before the rows of tasks: those of new ones are inserted here.
    async fn steps_into(&mut self, script: &mut Script) -> Result<(), Fault> {
        script.level(&[
            self.completed.len(),
            self.waiting.len(),
            self.readied.len(),
            self.started.len(),
        ]);
        self.completed_into(script).await?;
        self.readied_into(script).await?;
        self.started_into(script).await?;
        if self.fresh.is_empty() {
            script.run_unless_few(self.conn).await
        } else {
            script.run(self.conn).await?;
            self.fresh_into(script).await?;
            script.run_if_large(self.conn).await
        }
    }

    async fn tasks_into(&mut self, script: &mut Script) -> Result<(), Fault> {
        let tasks: Vec<TaskRow> = std::mem::take(&mut self.tasks).into_values().collect();
        script.set(self.conn, SAVE_TASKS, &tasks, bind_task).await?;
        for task in tasks {
            self.known.wrote_task(task);
        }
        Ok(())
    }

    async fn history_into(&mut self, script: &mut Script) -> Result<(), Fault> {
        let rows = std::mem::take(&mut self.ledger.rows);
        let now = self.ledger.now;
        script
            .set(self.conn, SAVE_HISTORY, &rows, |binds, row| {
                bind_history(binds, row, now)
            })
            .await
    }
}

const SAVE_TASKS: &str = "
    UPDATE postroom_tasks SET
        state = j.column2, reason = j.column3, run = j.column4, started_at = j.column5, ended_at = j.column6,
        owner = coalesce(j.column7, owner), steps_pending = j.column8, steps_ready = j.column9,
        steps_running = j.column10, steps_retry_wait = j.column11, steps_satisfied = j.column12,
        steps_failed = j.column13, steps_cancelled = j.column14
    FROM {rows} j WHERE postroom_tasks.id = j.column1";

fn bind_task<'b, 'a>(binds: &'b mut Binds<'a>, task: &TaskRow) -> Bound<'b, 'a> {
    let counts = &task.counts;
    binds
        .bind(task.id)?
        .bind(task.state.as_str())?
        .bind(task.reason.as_deref())?
        .bind(task.run)?
        .bind(task.started_at)?
        .bind(task.ended_at)?
        .bind(task.owner.as_ref().map(|owner| owner.as_bytes().as_slice()))?
        .bind(counts.pending)?
        .bind(counts.ready)?
        .bind(counts.running)?
        .bind(counts.retry_wait)?
        .bind(counts.satisfied)?
        .bind(counts.failed)?
        .bind(counts.cancelled)
}

const SAVE_HISTORY: &str = "
    INSERT INTO postroom_history
        (task_id, at, run, kind, step, attempt, epoch, from_state, to_state, process, detail)
    SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11
    FROM {rows} j WHERE j.column1 IS NOT NULL";

fn bind_history<'b, 'a>(binds: &'b mut Binds<'a>, row: &HistoryRow, now: i64) -> Bound<'b, 'a> {
    binds
        .bind(row.task_id)?
        .bind(now)?
        .bind(row.run)?
        .bind(row.kind.as_str())?
        .bind(row.step)?
        .bind(row.attempt)?
        .bind(row.epoch.map(u64::cast_signed))?
        .bind(row.from)?
        .bind(row.to)?
        .bind(row.process.as_bytes().as_slice())?
        .bind(row.detail.as_deref())
}

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

/// Steps are counted; there are far fewer than this can hold.
pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
