//! Reading and writing the rows of tasks, as sets.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::fault::Fault;
use super::unit::{Unit, json, uuid};
use crate::orchestration::state::{StepCounts, TaskState};
use crate::orchestration::store::settle;
use crate::orchestration::store::sql::ledger::failing;
use crate::orchestration::store::sql::task_row::{TaskRow, Tasks};
use crate::orchestration::store::sql::{failure_policy, from_row, number};

from_row! {
    struct Stored(SqliteRow) {
        id: i64,
        uuid: Vec<u8>,
        correlation_id: Vec<u8>,
        failure_policy: String,
        state: String,
        reason: Option<String>,
        run: i64,
        steps_pending: i64,
        steps_ready: i64,
        steps_running: i64,
        steps_retry_wait: i64,
        steps_satisfied: i64,
        steps_failed: i64,
        steps_cancelled: i64,
        started_at: Option<i64>,
        ended_at: Option<i64>,
    }
}

impl TryFrom<Stored> for TaskRow {
    type Error = Fault;

    fn try_from(stored: Stored) -> Result<Self, Fault> {
        Ok(Self {
            id: stored.id,
            uuid: uuid(&stored.uuid)?,
            correlation_id: uuid(&stored.correlation_id)?,
            policy: failure_policy(&stored.failure_policy)?,
            state: stored.state.parse()?,
            reason: stored.reason,
            run: number(stored.run)?,
            counts: StepCounts {
                pending: number(stored.steps_pending)?,
                ready: number(stored.steps_ready)?,
                running: number(stored.steps_running)?,
                retry_wait: number(stored.steps_retry_wait)?,
                satisfied: number(stored.steps_satisfied)?,
                failed: number(stored.steps_failed)?,
                cancelled: number(stored.steps_cancelled)?,
            },
            started_at: stored.started_at,
            ended_at: stored.ended_at,
            owner: None,
        })
    }
}

impl Unit<'_> {
    /// The rows of these tasks: read, unless they are kept to be written, or known.
    pub(super) async fn load_tasks(&mut self, ids: &BTreeSet<i64>) -> Result<Tasks, Fault> {
        let known = ids.iter().filter_map(|id| self.known_task(*id));
        let mut tasks: Tasks = known.map(|task| (task.id, task.clone())).collect();
        let ids: Vec<&i64> = ids.iter().filter(|id| !tasks.contains_key(id)).collect();
        if ids.is_empty() {
            return Ok(tasks);
        }
        let stored: Vec<Stored> = sqlx::query_as(
            "SELECT t.id, t.uuid, t.correlation_id, t.failure_policy, t.state, t.reason, t.run, t.steps_pending,
                    t.steps_ready, t.steps_running, t.steps_retry_wait, t.steps_satisfied,
                    t.steps_failed, t.steps_cancelled, t.started_at, t.ended_at
             FROM json_each(?1) j CROSS JOIN postroom_tasks t ON t.id = j.value",
        )
        .bind(json(&ids)?)
        .fetch_all(&mut *self.conn)
        .await?;
        for stored in stored {
            let row = TaskRow::try_from(stored)?;
            tasks.insert(row.id, row);
        }
        Ok(tasks)
    }

    /// The number of the task with this id.
    pub(super) async fn task_number(&mut self, task: Uuid) -> Result<Option<i64>, Fault> {
        let found: Option<(i64,)> = sqlx::query_as("SELECT id FROM postroom_tasks WHERE uuid = ?1")
            .bind(task.as_bytes().as_slice())
            .fetch_optional(&mut *self.conn)
            .await?;
        Ok(found.map(|(id,)| id))
    }

    /// Writes the rows back, at the latest with the commit.
    pub(super) fn save_tasks<'t>(&mut self, tasks: impl Iterator<Item = &'t TaskRow>) {
        for task in tasks {
            self.keep_task(task.clone());
        }
    }

    /// Moves tasks where their steps say. `process_of` names the process that caused it.
    /// Returns those that came to their end by it.
    pub(super) async fn settle(
        &mut self,
        tasks: &mut Tasks,
        process_of: impl Fn(i64) -> Uuid,
    ) -> Result<BTreeMap<i64, TaskState>, Fault> {
        self.cancel_rest(tasks).await?;
        let reasons = self.first_failures(&failing(tasks)).await?;
        Ok(self.ledger.settle(tasks, reasons, process_of))
    }

    /// In tasks that fail fast, nothing more starts.
    async fn cancel_rest(&mut self, tasks: &mut Tasks) -> Result<(), Fault> {
        let ids = cancel_rest(tasks);
        if !ids.is_empty() {
            self.flush_steps().await?;
            self.ahead.forget_runnable();
            sqlx::query(
                "UPDATE postroom_steps SET state = 'cancelled', due_at = NULL
                 FROM json_each(?1) j WHERE postroom_steps.task_id = j.value
                    AND postroom_steps.state IN ('pending', 'ready', 'retry_wait')",
            )
            .bind(json(&ids)?)
            .execute(&mut *self.conn)
            .await?;
        }
        Ok(())
    }

    /// For each task, the words on its first failed step in template order.
    async fn first_failures(
        &mut self,
        ids: &BTreeSet<i64>,
    ) -> Result<BTreeMap<i64, String>, Fault> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.flush_steps().await?;
        let found: Vec<(i64, String, Option<String>)> = sqlx::query_as(
            "SELECT s.task_id, s.name, s.error
             FROM json_each(?1) j CROSS JOIN postroom_steps s ON s.task_id = j.value
                AND s.idx = (SELECT min(f.idx) FROM postroom_steps f
                             WHERE f.task_id = j.value AND f.state = 'failed')",
        )
        .bind(json(ids)?)
        .fetch_all(&mut *self.conn)
        .await?;
        Ok(found
            .into_iter()
            .map(|(id, name, error)| (id, settle::failed_reason(&name, error.as_deref())))
            .collect())
    }
}

/// Counts as cancelled whatever would still start in tasks that fail fast, and returns these tasks: the rows of
/// those steps are to follow.
fn cancel_rest(tasks: &mut Tasks) -> Vec<i64> {
    let mut cancelled = Vec::new();
    for task in tasks.values_mut() {
        let counts = &mut task.counts;
        let rest = counts.pending + counts.ready + counts.retry_wait;
        if rest > 0 && !task.state.is_terminal() && task.policy.stops(counts) {
            (counts.pending, counts.ready, counts.retry_wait) = (0, 0, 0);
            counts.cancelled += rest;
            cancelled.push(task.id);
        }
    }
    cancelled
}
