//! Locking and reading the rows of tasks, as sets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::fault::Fault;
use super::unit::Unit;
use crate::orchestration::state::{StepCounts, StepState, TaskState};
use crate::orchestration::store::settle;
use crate::orchestration::store::sql::ledger::failing;
use crate::orchestration::store::sql::task_row::{TaskRow, Tasks};
use crate::orchestration::store::sql::{failure_policy, from_row, number};

from_row! {
    pub(super) struct Stored(PgRow) {
        id: i64,
        uuid: Uuid,
        correlation_id: Uuid,
        failure_policy: String,
        state: String,
        reason: Option<String>,
        run: i32,
        steps_pending: i32,
        steps_active: i32,
        steps_retry_wait: i32,
        steps_satisfied: i32,
        steps_failed: i32,
        steps_cancelled: i32,
        started_at: Option<i64>,
        ended_at: Option<i64>,
    }
}

impl TryFrom<Stored> for TaskRow {
    type Error = Fault;

    fn try_from(stored: Stored) -> Result<Self, Fault> {
        let count = |count: i32| number(i64::from(count));
        Ok(Self {
            id: stored.id,
            uuid: stored.uuid,
            correlation_id: stored.correlation_id,
            policy: failure_policy(&stored.failure_policy)?,
            state: stored.state.parse()?,
            reason: stored.reason,
            run: count(stored.run)?,
            counts: StepCounts {
                pending: count(stored.steps_pending)?,
                // As `count_as_one` has it.
                ready: 0,
                running: count(stored.steps_active)?,
                retry_wait: count(stored.steps_retry_wait)?,
                satisfied: count(stored.steps_satisfied)?,
                failed: count(stored.steps_failed)?,
                cancelled: count(stored.steps_cancelled)?,
            },
            started_at: stored.started_at,
            ended_at: stored.ended_at,
            owner: None,
        })
    }
}

/// What is ready and what runs is counted as one: nothing is decided by which of the two it is, and so a claim
/// need not change the counters.
pub(super) fn count_as_one(counts: &mut StepCounts) {
    counts.running += std::mem::take(&mut counts.ready);
}

macro_rules! locking {
    ($condition:literal, $mode:literal) => {
        concat!(
            "SELECT t.id, t.uuid, t.correlation_id, t.failure_policy, t.state, t.reason, t.run,
                    t.steps_pending,
                    t.steps_active, t.steps_retry_wait, t.steps_satisfied, t.steps_failed,
                    t.steps_cancelled, t.started_at, t.ended_at
             FROM postroom.tasks t WHERE ",
            $condition,
            " ORDER BY t.id FOR ",
            $mode
        )
    };
}

pub(super) use locking;

/// How a transaction holds the tasks that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Beside claims.
    Shared,
    /// No step of the tasks is claimed in the meantime.
    Alone,
}

impl Unit<'_> {
    /// Locks these tasks, in the order of their numbers, and reads them. To be called once in a transaction,
    /// before it holds anything else that another one might wait for.
    pub(super) async fn lock_tasks(&mut self, uuids: &[Uuid], hold: Hold) -> Result<(), Fault> {
        if uuids.is_empty() {
            return Ok(());
        }
        let query = self.query_as::<Stored>(match hold {
            Hold::Shared => locking!("t.uuid = ANY($1)", "NO KEY UPDATE"),
            Hold::Alone => locking!("t.uuid = ANY($1)", "UPDATE"),
        });
        let stored = query.bind(uuids).fetch_all(&mut *self.conn).await?;
        for stored in stored {
            let task = TaskRow::try_from(stored)?;
            self.tasks.insert(task.id, task);
        }
        Ok(())
    }

    /// The rows of these tasks, which this transaction has locked or locks now without having to wait.
    pub(super) async fn load_tasks(&mut self, ids: &BTreeSet<i64>) -> Result<Tasks, Fault> {
        let missing: Vec<i64> = ids
            .iter()
            .copied()
            .filter(|id| !self.tasks.contains_key(id))
            .collect();
        if !missing.is_empty() {
            let query = self.query_as::<Stored>(locking!("t.id = ANY($1)", "NO KEY UPDATE"));
            let stored = query.bind(missing).fetch_all(&mut *self.conn).await?;
            for stored in stored {
                let task = TaskRow::try_from(stored)?;
                self.tasks.insert(task.id, task);
            }
        }
        let own = ids.iter().filter_map(|id| self.tasks.get(id));
        Ok(own.map(|task| (task.id, task.clone())).collect())
    }

    /// The numbers of the locked tasks.
    pub(super) fn numbers(&self) -> HashMap<Uuid, i64> {
        let tasks = self.tasks.values();
        tasks.map(|task| (task.uuid, task.id)).collect()
    }

    /// Moves tasks where their steps say. `process_of` names the process that caused it. Returns those that
    /// came to their end by it.
    pub(super) async fn settle(
        &mut self,
        tasks: &mut Tasks,
        process_of: impl Fn(i64) -> Uuid,
    ) -> Result<BTreeMap<i64, TaskState>, Fault> {
        self.cancel_rest(tasks).await?;
        let reasons = self.first_failures(&failing(tasks)).await?;
        Ok(self.ledger.settle(tasks, reasons, process_of))
    }

    /// In tasks that fail fast, nothing more starts. A claim may take a step in the meantime: those that are
    /// found are counted.
    async fn cancel_rest(&mut self, tasks: &mut Tasks) -> Result<(), Fault> {
        let stopping: Vec<i64> = tasks
            .values()
            .filter(|task| !task.state.is_terminal() && task.stops())
            .map(|task| task.id)
            .collect();
        if stopping.is_empty() {
            return Ok(());
        }
        self.flush().await?;
        let cancelled: Vec<(i64, String)> = self
            .query_as(
                "WITH rest AS MATERIALIZED (
                    SELECT s.task_id, s.idx, s.state FROM postroom.steps s
                    WHERE s.task_id = ANY($1) AND s.state IN ('pending', 'ready', 'retry_wait')
                    ORDER BY s.task_id, s.idx FOR UPDATE)
                 UPDATE postroom.steps s SET state = 'cancelled', due_at = NULL FROM rest r
                 WHERE s.task_id = r.task_id AND s.idx = r.idx
                 RETURNING r.task_id, r.state",
            )
            .bind(stopping)
            .fetch_all(&mut *self.conn)
            .await?;
        self.wrote();
        for (task_id, state) in cancelled {
            if let Some(task) = tasks.get_mut(&task_id) {
                let counted = match state.parse()? {
                    StepState::Ready => StepState::Running,
                    state => state,
                };
                count_as_one(&mut task.counts);
                settle::recount(&mut task.counts, counted, StepState::Cancelled);
            }
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
        self.flush().await?;
        let ids: Vec<i64> = ids.iter().copied().collect();
        let found = self
            .query_as::<(i64, String, Option<String>)>(
                "SELECT s.task_id, s.name, s.error
                 FROM unnest($1::bigint[]) AS n (task_id) CROSS JOIN LATERAL (
                     SELECT f.task_id, f.name, f.error FROM postroom.steps f
                     WHERE f.task_id = n.task_id AND f.state = 'failed'
                     ORDER BY f.idx LIMIT 1) s",
            )
            .bind(ids)
            .fetch_all(&mut *self.conn)
            .await?;
        Ok(found
            .into_iter()
            .map(|(id, name, error)| (id, settle::failed_reason(&name, error.as_deref())))
            .collect())
    }
}
