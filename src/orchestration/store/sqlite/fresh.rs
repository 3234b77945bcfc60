//! New tasks while their transaction is under way: they are written at its end, or before somebody looks for them, so
//! that a step which the transaction claims as well is written once, as it runs.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::fault::Fault;
use super::set::Script;
use super::started::Owner;
use super::unit::{Unit, count};
use crate::orchestration::state::StepState;
use crate::orchestration::store::sql::task_row::TaskRow;
use crate::orchestration::store::{NewTask, settle};

/// A task that is not written yet. Its row is kept with those of the others.
pub(super) struct Fresh<'w> {
    pub(super) id: i64,
    pub(super) task: &'w NewTask,
    /// When it is due, if not at once.
    pub(super) later: Option<i64>,
    /// Steps that have been claimed, by their place.
    pub(super) started: BTreeMap<usize, Owner>,
}

const INSERT_TASKS: &str = "
    INSERT INTO postroom_tasks
        (id, uuid, identity, content, namespace, name, version, priority, failure_policy, state, run,
         correlation_id, submitted_by, steps_total, steps_pending, steps_ready, steps_running,
         steps_retry_wait, steps_satisfied, steps_failed, steps_cancelled, created_at, started_at, owner)
    SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, 1,
           column11, column12, column13, column14, column15, column16, column17, 0, 0, 0, column18, column19,
           column20
    FROM {rows} j WHERE j.column1 IS NOT NULL";

const INSERT_DEFINITIONS: &str = "
    INSERT INTO postroom_definitions (task_id, template, input)
    SELECT column1, column2, column3 FROM {rows} j WHERE j.column1 IS NOT NULL";

const INSERT_STEPS: &str = "
    INSERT INTO postroom_steps
        (task_id, idx, name, callable, priority, state, parents, unmet, max_attempts, attempts, lost_leases,
         epoch, due_at, owner, lease_until, started_at)
    SELECT column1, column2, column3, column4, column5, column6, column7, column7, column8, column10, 0, column10,
           column9, column11, column12, column13
    FROM {rows} j WHERE j.column1 IS NOT NULL";

const INSERT_EDGES: &str = "
    INSERT INTO postroom_edges (task_id, parent, child)
    SELECT column1, column2, column3 FROM {rows} j WHERE j.column1 IS NOT NULL";

impl<'w> Unit<'w> {
    /// Keeps a new task to be written.
    pub(super) fn keep_fresh(&mut self, id: i64, task: &'w NewTask) {
        let later = task.run_at.filter(|at| *at > self.now());
        self.keep_task(TaskRow::new(id, task, later));
        self.fresh.push(Fresh {
            id,
            task,
            later,
            started: BTreeMap::new(),
        });
    }

    /// Writes the new tasks that are kept.
    pub(super) async fn flush_fresh(&mut self) -> Result<(), Fault> {
        let mut script = Script::default();
        self.fresh_into(&mut script).await?;
        script.run(self.conn).await
    }

    pub(super) async fn fresh_into(&mut self, script: &mut Script) -> Result<(), Fault> {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh.is_empty() {
            return Ok(());
        }
        self.ahead.forget_runnable();
        let now = self.now();
        let mut rows = Vec::with_capacity(fresh.len());
        for fresh in &fresh {
            let kept = self.take_kept(fresh.id);
            let row = kept.ok_or_else(|| {
                Fault::Corrupt(format!("the new task number {} has no row", fresh.id))
            })?;
            rows.push((fresh, row));
        }
        let conn = &mut *self.conn;
        script.level(&[rows.len()]);
        script
            .set(conn, INSERT_TASKS, &rows, |binds, (fresh, row)| {
                let task = fresh.task;
                binds
                    .bind(row.id)?
                    .bind(task.task_uuid.as_bytes().as_slice())?
                    .bind(task.identity.as_slice())?
                    .bind(task.content.as_slice())?
                    .bind(task.namespace.as_str())?
                    .bind(task.name.as_str())?
                    .bind(task.version.as_str())?
                    .bind(task.priority)?
                    .bind(task.failure_policy.as_str())?
                    .bind(row.state.as_str())?
                    .bind(task.correlation_id.as_bytes().as_slice())?
                    .bind(task.submitted_by.as_bytes().as_slice())?
                    .bind(count(task.steps.len()))?
                    .bind(row.counts.pending)?
                    .bind(row.counts.ready)?
                    .bind(row.counts.running)?
                    .bind(row.counts.retry_wait)?
                    .bind(now)?
                    .bind(row.started_at)?
                    .bind(row.owner.as_ref().map(|owner| owner.as_bytes().as_slice()))
            })
            .await?;
        script
            .set(conn, INSERT_DEFINITIONS, &fresh, |binds, fresh| {
                binds
                    .bind(fresh.id)?
                    .bind(fresh.task.template_json.as_str())?
                    .bind(fresh.task.input_json.as_str())
            })
            .await?;
        script.run_unless_few(conn).await?;
        steps_into(script, conn, now, &fresh).await?;
        for (fresh, row) in rows {
            if fresh.started.is_empty() {
                self.known.new_task(row);
            } else {
                self.known.wrote_task(row);
            }
        }
        Ok(())
    }
}

/// The steps of new tasks, and what they wait for.
async fn steps_into(
    script: &mut Script,
    conn: &mut SqliteConnection,
    now: i64,
    fresh: &[Fresh<'_>],
) -> Result<(), Fault> {
    let steps: Vec<(&Fresh<'_>, usize)> = fresh
        .iter()
        .flat_map(|fresh| (0..fresh.task.steps.len()).map(move |index| (fresh, index)))
        .collect();
    let edges: Vec<(i64, u32, usize)> = steps
        .iter()
        .flat_map(|(fresh, index)| {
            let parents = fresh.task.steps[*index].parents.iter();
            parents.map(|parent| (fresh.id, *parent, *index))
        })
        .collect();
    script.level(&[steps.len(), edges.len()]);
    script
        .set(conn, INSERT_STEPS, &steps, |binds, (fresh, index)| {
            let step = &fresh.task.steps[*index];
            let started = fresh.started.get(index);
            let (state, due_at) = match started {
                Some(_) => (StepState::Running, None),
                None => settle::new_step(step.parents.is_empty(), fresh.later),
            };
            binds
                .bind(fresh.id)?
                .bind(count(*index))?
                .bind(step.name.as_str())?
                .bind(step.callable.as_str())?
                .bind(fresh.task.priority)?
                .bind(state.as_str())?
                .bind(count(step.parents.len()))?
                .bind(step.max_attempts)?
                .bind(due_at)?
                .bind(i64::from(started.is_some()))?
                .bind(started.map(|it| it.process.as_bytes().as_slice()))?
                .bind(started.map(|it| it.lease_until))?
                .bind(started.map(|_| now))
        })
        .await?;
    script
        .set(conn, INSERT_EDGES, &edges, |binds, (id, parent, child)| {
            binds.bind(*id)?.bind(*parent)?.bind(count(*child))
        })
        .await
}
