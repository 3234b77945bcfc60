//! Steps that a transaction has claimed and that are not written yet: they are written in one call with what follows.

use uuid::Uuid;

use super::fault::Fault;
use super::set::Script;
use super::unit::Unit;
use crate::orchestration::state::StepState;

/// By whom a step is run, and until when it is theirs.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) process: Uuid,
    pub(super) lease_until: i64,
}

/// A claimed step that the database has in another state.
pub(super) struct Started {
    pub(super) task_id: i64,
    pub(super) index: i64,
    /// The state that it is written in.
    pub(super) from: StepState,
    /// How many of its parents are done by this transaction and not counted there.
    pub(super) done: i64,
    pub(super) owner: Owner,
}

/// The plus keeps a state that is a parameter from being held against the indexes' conditions: `SQLite` would prepare
/// the statement anew for each value.
const START: &str = "
    UPDATE postroom_steps SET
        state = 'running', epoch = epoch + 1, attempts = attempts + 1, owner = j.column4,
        lease_until = j.column5, due_at = NULL, started_at = j.column6, ended_at = NULL,
        unmet = unmet - j.column7
    FROM {rows} j
    WHERE postroom_steps.task_id = j.column1 AND postroom_steps.idx = j.column2
        AND +postroom_steps.state = j.column3";

impl Unit<'_> {
    /// Writes the steps that were claimed, so that they are not found again.
    pub(super) async fn flush_started(&mut self) -> Result<(), Fault> {
        let mut script = Script::default();
        self.started_into(&mut script).await?;
        script.run(self.conn).await
    }

    pub(super) async fn started_into(&mut self, script: &mut Script) -> Result<(), Fault> {
        let started = std::mem::take(&mut self.started);
        if !started.is_empty() {
            self.ahead.forget_runnable();
        }
        let now = self.now();
        script
            .set(self.conn, START, &started, |binds, step| {
                binds
                    .bind(step.task_id)?
                    .bind(step.index)?
                    .bind(step.from.as_str())?
                    .bind(step.owner.process.as_bytes().as_slice())?
                    .bind(step.owner.lease_until)?
                    .bind(now)?
                    .bind(step.done)
            })
            .await
    }
}
