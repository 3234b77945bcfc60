//! What must hold, seen from outside: kept apart from the store's own rules, and read from the rows themselves.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::memory::MemoryStore;
use crate::orchestration::store::{
    ClaimedStep, HistoryKind, StepId, StepRecord, Store, SweepReport, TaskFilter,
};

#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// The highest epoch at which each step was claimed.
    claimed: BTreeMap<StepId, u64>,
    /// The tasks whose submission was acknowledged.
    pub(super) acknowledged: BTreeSet<Uuid>,
}

impl Oracle {
    /// A claim brings an epoch that was never seen, of a step whose parents are all done.
    pub(super) async fn claimed(
        &mut self,
        step: &ClaimedStep,
        rows: &MemoryStore,
    ) -> Result<(), String> {
        let last = self.claimed.insert(step.id, step.epoch).unwrap_or(0);
        if step.epoch <= last {
            return Err(format!(
                "{:?} was claimed at epoch {} after epoch {last}",
                step.id, step.epoch
            ));
        }
        let steps = steps(rows, step.id.task_uuid).await?;
        let undone = steps[step.id.index as usize]
            .parents
            .iter()
            .any(|parent| !steps[*parent as usize].state.satisfies_dependents());
        if undone {
            return Err(format!("{:?} was claimed before its parents", step.id));
        }
        Ok(())
    }

    /// A sweep takes back every lease that has run out or whose process is known to be dead, and no other.
    pub(super) async fn swept(
        &self,
        before: &Running,
        report: &SweepReport,
        dead: Option<Uuid>,
        now: i64,
        rows: &MemoryStore,
    ) -> Result<(), String> {
        let has_run_out = |step: &StepRecord| step.lease_until.is_some_and(|until| until <= now);
        for id in report.rescued.iter().chain(&report.failed) {
            let good =
                |step: &StepRecord| !has_run_out(step) && (dead.is_none() || step.owner != dead);
            if before.get(id).is_none_or(good) {
                let row = before.get(id);
                return Err(format!("{id:?} was taken back from {row:?} at {now}"));
            }
        }
        let left = running(rows).await?;
        match left.iter().find(|(_, step)| has_run_out(step)) {
            Some((id, step)) => Err(format!("{id:?} was left at {now} as {step:?}")),
            None => Ok(()),
        }
    }

    /// When everything has calmed down, every acknowledged task has ended, and no step was completed twice in
    /// one run.
    pub(super) async fn at_the_end(&self, rows: &MemoryStore) -> Result<(), String> {
        for &uuid in &self.acknowledged {
            let task = rows.task(uuid).await.map_err(|error| error.to_string())?;
            let Some(task) = task else {
                return Err(format!("task {uuid} was acknowledged and is not there"));
            };
            if !task.state.is_terminal() {
                return Err(format!("task {uuid} never ends: {task:?}"));
            }
            let history = rows
                .history(uuid)
                .await
                .map_err(|error| error.to_string())?;
            let mut completed = BTreeSet::new();
            for row in &history {
                let complete = row.to.as_deref() == Some(StepState::Complete.as_str());
                if row.kind == HistoryKind::Attempt
                    && complete
                    && !completed.insert((row.run, row.step))
                {
                    return Err(format!(
                        "step {:?} of task {uuid} was completed twice in run {}",
                        row.step, row.run
                    ));
                }
            }
        }
        Ok(())
    }

    /// Those that have not ended by now.
    pub(super) async fn unfinished(
        &self,
        rows: &MemoryStore,
    ) -> Result<Vec<(Uuid, TaskState)>, String> {
        let mut unfinished = Vec::new();
        for &uuid in &self.acknowledged {
            let task = rows.task(uuid).await.map_err(|error| error.to_string())?;
            if let Some(task) = task.filter(|task| !task.state.is_terminal()) {
                unfinished.push((uuid, task.state));
            }
        }
        Ok(unfinished)
    }
}

/// The steps that run.
pub(super) type Running = BTreeMap<StepId, StepRecord>;

pub(super) async fn running(rows: &MemoryStore) -> Result<Running, String> {
    let tasks = rows.tasks(TaskFilter::default()).await;
    let mut running = Running::new();
    for task in tasks.map_err(|error| error.to_string())? {
        let task_uuid = task.task_uuid;
        for step in steps(rows, task_uuid).await? {
            if step.state == StepState::Running {
                let index = step.index;
                running.insert(StepId { task_uuid, index }, step);
            }
        }
    }
    Ok(running)
}

pub(super) async fn steps(rows: &MemoryStore, task: Uuid) -> Result<Vec<StepRecord>, String> {
    rows.steps(task).await.map_err(|error| error.to_string())
}

/// The rows agree with each other.
pub(super) async fn audit(rows: &MemoryStore) -> Result<(), String> {
    let found = rows.audit().await.map_err(|error| error.to_string())?;
    if found.is_empty() {
        Ok(())
    } else {
        Err(found.join("; "))
    }
}
