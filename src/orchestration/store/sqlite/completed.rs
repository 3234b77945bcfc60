//! Completed steps that are not written yet, and those of their children that have others to wait for: they are written
//! in one call with what follows.

use super::fault::Fault;
use super::set::Script;
use super::unit::Unit;
use crate::orchestration::state::StepState;
use crate::orchestration::store::sql::judge::{Child, Recorded};

/// A step's outcome.
pub(super) struct Completed<'w> {
    task_id: i64,
    index: u32,
    epoch: u64,
    to: StepState,
    due_at: Option<i64>,
    result: Option<&'w str>,
    error: Option<String>,
}

const WRITE_STEPS: &str = "
    UPDATE postroom_steps SET
        state = j.column4, due_at = j.column5, result = j.column6, error = j.column7, owner = NULL,
        lease_until = NULL, ended_at = j.column8
    FROM {rows} j
    WHERE postroom_steps.task_id = j.column1 AND postroom_steps.idx = j.column2
        AND postroom_steps.state = 'running' AND postroom_steps.epoch = j.column3";

const WRITE_CHILDREN: &str = "
    UPDATE postroom_steps SET unmet = unmet - j.column3, state = j.column4
    FROM {rows} j
    WHERE postroom_steps.task_id = j.column1 AND postroom_steps.idx = j.column2";

impl<'w> Unit<'w> {
    /// Keeps completed steps to be written, and those of their children that are not ready by it.
    pub(super) fn keep_completed(
        &mut self,
        recorded: &[Recorded<'w>],
        waiting: Vec<(Child, StepState)>,
    ) {
        self.completed.extend(recorded.iter().map(|one| Completed {
            task_id: one.step.task_id,
            index: one.step.index,
            epoch: one.step.epoch,
            to: one.to,
            due_at: one.due_at,
            result: one.result(),
            error: one.error.clone(),
        }));
        self.waiting.extend(waiting);
    }

    /// Whether steps that are kept are to be tried again, which a claim may look for.
    pub(super) fn keeps_retries(&self) -> bool {
        let to = |one: &Completed<'_>| one.to == StepState::RetryWait;
        self.completed.iter().any(to)
    }

    pub(super) async fn completed_into(&mut self, script: &mut Script) -> Result<(), Fault> {
        let completed = std::mem::take(&mut self.completed);
        let waiting = std::mem::take(&mut self.waiting);
        let now = self.now();
        let conn = &mut *self.conn;
        script
            .set(conn, WRITE_STEPS, &completed, |binds, one| {
                binds
                    .bind(one.task_id)?
                    .bind(one.index)?
                    .bind(one.epoch.cast_signed())?
                    .bind(one.to.as_str())?
                    .bind(one.due_at)?
                    .bind(one.result)?
                    .bind(one.error.as_deref())?
                    .bind(now)
            })
            .await?;
        script
            .set(conn, WRITE_CHILDREN, &waiting, |binds, (child, state)| {
                binds
                    .bind(child.task_id)?
                    .bind(child.index)?
                    .bind(child.done)?
                    .bind(state.as_str())
            })
            .await
    }
}
