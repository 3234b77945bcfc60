//! Steps that have become ready in a transaction and are not written yet: most of them are claimed in it as well, and
//! then written once.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::fault::Fault;
use super::set::Script;
use super::unit::Unit;
use crate::orchestration::state::StepState;
use crate::orchestration::store::{ClaimRequest, ClaimScope};

/// A pending step whose last dependencies are done.
pub(super) struct Readied {
    pub(super) task_id: i64,
    pub(super) index: i64,
    /// How many of its parents are done by this transaction.
    pub(super) done: i64,
    pub(super) callable: String,
    pub(super) priority: i64,
}

/// A step that can be claimed.
pub(super) struct Runnable {
    pub(super) priority: i64,
    pub(super) task_id: i64,
    pub(super) index: i64,
    /// As it is written; the claim finds a step that is kept `Pending`.
    pub(super) state: StepState,
    /// Dependencies that are done, which the row does not say yet.
    pub(super) done: i64,
}

const READY: &str = "
    UPDATE postroom_steps SET unmet = unmet - j.column3, state = 'ready'
    FROM {rows} j
    WHERE postroom_steps.task_id = j.column1 AND postroom_steps.idx = j.column2";

impl Unit<'_> {
    /// Writes those that are kept as ready.
    pub(super) async fn flush_readied(&mut self) -> Result<(), Fault> {
        let mut script = Script::default();
        self.readied_into(&mut script).await?;
        script.run(self.conn).await
    }

    pub(super) async fn readied_into(&mut self, script: &mut Script) -> Result<(), Fault> {
        let readied = std::mem::take(&mut self.readied);
        script
            .set(self.conn, READY, &readied, |binds, step| {
                binds
                    .bind(step.task_id)?
                    .bind(step.index)?
                    .bind(step.done)
            })
            .await
    }

    /// The first of those that were found and those that are kept, as many as the claim may bring. From then on the
    /// latter are the claim's.
    pub(super) fn first_runnable(
        &mut self,
        request: &ClaimRequest,
        mut found: Vec<Runnable>,
    ) -> Vec<Runnable> {
        let kept = std::mem::take(&mut self.readied);
        let (suit, rest): (Vec<_>, _) = kept
            .into_iter()
            .partition(|step| self.is_wanted(step, request));
        self.readied = rest;
        if suit.is_empty() {
            return found;
        }
        found.extend(suit.iter().map(|step| Runnable {
            priority: step.priority,
            task_id: step.task_id,
            index: step.index,
            state: StepState::Pending,
            done: step.done,
        }));
        found.sort_by_key(|step| (Reverse(step.priority), step.task_id, step.index));
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        found.truncate(limit);
        let taken: HashSet<(i64, i64)> = found
            .iter()
            .filter(|step| step.state == StepState::Pending)
            .map(|step| (step.task_id, step.index))
            .collect();
        let left = suit
            .into_iter()
            .filter(|step| !taken.contains(&(step.task_id, step.index)));
        self.readied.extend(left);
        found
    }

    fn is_wanted(&self, step: &Readied, request: &ClaimRequest) -> bool {
        let task = self.known_task(step.task_id);
        request.callables.contains(&step.callable)
            && task.is_some_and(|task| {
                task.state.is_claimable()
                    && match request.scope {
                        ClaimScope::Any => true,
                        ClaimScope::Task(only) => task.uuid == only,
                    }
            })
    }
}
