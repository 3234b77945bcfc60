//! The history that a transaction will have written, and the moves of tasks that it tells of.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::task_row::{TaskRow, Tasks};
use crate::orchestration::state::TaskState;
use crate::orchestration::store::plan::Plan;
use crate::orchestration::store::{HistoryKind, settle};

/// A row of history before it is written.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct HistoryRow {
    pub(crate) task_id: i64,
    pub(crate) run: u32,
    pub(crate) kind: HistoryKind,
    pub(crate) step: Option<u32>,
    pub(crate) attempt: Option<u32>,
    pub(crate) epoch: Option<u64>,
    pub(crate) from: Option<&'static str>,
    pub(crate) to: Option<&'static str>,
    #[serde(serialize_with = "as_hex")]
    pub(crate) process: Uuid,
    pub(crate) detail: Option<String>,
}

fn as_hex<S: Serializer>(uuid: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&uuid.simple())
}

/// One transaction's history, at one moment.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// When the transaction began. Everything in it happens at this moment.
    pub(crate) now: i64,
    /// In the order in which they are to be written.
    pub(crate) rows: Vec<HistoryRow>,
}

impl Ledger {
    pub(crate) fn new(now: i64) -> Self {
        Self {
            now,
            rows: Vec::new(),
        }
    }

    /// Keeps a row to be written at the end, in order.
    pub(crate) fn note(&mut self, row: HistoryRow) {
        self.rows.push(row);
    }

    /// Brings a task to another state, with its row of history; does nothing if it is there already.
    pub(crate) fn move_task(
        &mut self,
        task: &mut TaskRow,
        to: TaskState,
        reason: Option<String>,
        process: Uuid,
    ) -> bool {
        if task.state == to {
            return false;
        }
        self.note(HistoryRow {
            task_id: task.id,
            run: task.run,
            kind: HistoryKind::TaskState,
            step: None,
            attempt: None,
            epoch: None,
            from: Some(task.state.as_str()),
            to: Some(to.as_str()),
            process,
            detail: reason.clone(),
        });
        task.state = to;
        task.owner = Some(process);
        task.reason = reason;
        task.ended_at = to.is_terminal().then_some(self.now);
        true
    }

    /// Brings a task where an operation takes it; its steps are written apart.
    pub(crate) fn carry_out(&mut self, task: &mut TaskRow, plan: Plan, process: Uuid) {
        task.run += u32::from(plan.new_run);
        task.counts = plan.counts;
        if plan.reason.is_some() {
            task.reason = plan.reason;
        }
        for (to, reason) in plan.moves {
            self.move_task(task, to, reason, process);
        }
    }

    /// Moves tasks where their steps say. `reasons` has the words on those that [`failing`] names;
    /// `process_of` names the process that caused it. Returns those that came to their end by it.
    pub(crate) fn settle(
        &mut self,
        tasks: &mut Tasks,
        mut reasons: BTreeMap<i64, String>,
        process_of: impl Fn(i64) -> Uuid,
    ) -> BTreeMap<i64, TaskState> {
        let mut ended = BTreeMap::new();
        for task in tasks.values_mut() {
            let to = settle::settled(task.state, &task.counts);
            let reason = reasons.remove(&task.id);
            if self.move_task(task, to, reason, process_of(task.id)) && to.is_terminal() {
                ended.insert(task.id, to);
            }
        }
        ended
    }
}

/// The tasks that fail when they are settled: the words on their first failed step are needed.
pub(crate) fn failing(tasks: &Tasks) -> BTreeSet<i64> {
    tasks
        .values()
        .filter(|task| !task.state.is_terminal())
        .filter(|task| settle::settled(task.state, &task.counts) == TaskState::Failed)
        .map(|task| task.id)
        .collect()
}
