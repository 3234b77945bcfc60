//! Storing new tasks, as one set.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::fault::Fault;
use super::set::{Script, fetch};
use super::unit::{Unit, uuid};
use crate::orchestration::state::TaskState;
use crate::orchestration::store::{NewTask, StoreError, Submission, settle};

type Answer = Result<Submission, StoreError>;

/// A task that has an identity already, in the store or in this batch.
struct Holder {
    uuid: Uuid,
    content: Vec<u8>,
    state: TaskState,
}

pub(super) async fn submit(unit: &mut Unit<'_>, tasks: &[&NewTask]) -> Result<Vec<Answer>, Fault> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let mut holders = find_holders(unit, tasks).await?;
    let mut taken = find_taken(unit, tasks).await?;
    let mut answers = Vec::with_capacity(tasks.len());
    let mut new = Vec::new();
    for &task in tasks {
        answers.push(
            if let Some(holder) = holders.get(task.identity.as_slice()) {
                Ok(Submission::Duplicate {
                    task_uuid: holder.uuid,
                    state: holder.state,
                    same_content: holder.content == task.content,
                })
            } else if let Err(refusal) = settle::check(task) {
                Err(refusal)
            } else if !taken.insert(task.task_uuid) {
                Err(StoreError::Invalid {
                    task_uuid: task.task_uuid,
                    problem: "another task has this id".to_owned(),
                })
            } else {
                let holder = Holder {
                    uuid: task.task_uuid,
                    content: task.content.to_vec(),
                    state: TaskState::Pending,
                };
                holders.insert(task.identity.to_vec(), holder);
                new.push(task);
                Ok(Submission::Created {
                    task_uuid: task.task_uuid,
                })
            },
        );
    }
    insert(unit, &new).await?;
    Ok(answers)
}

/// Identity, id, content, state.
type Found = (Vec<u8>, Vec<u8>, Vec<u8>, String);

const HOLDERS: &str = "
    SELECT t.identity, t.uuid, t.content, t.state
    FROM {rows} j CROSS JOIN postroom_tasks t ON t.identity = j.column1";

async fn find_holders(
    unit: &mut Unit<'_>,
    tasks: &[&NewTask],
) -> Result<HashMap<Vec<u8>, Holder>, Fault> {
    let found: Vec<Found> = fetch(unit.conn, HOLDERS, tasks, |binds, task| {
        binds.bind(task.identity.as_slice())
    })
    .await?;
    let holders = found.into_iter().map(|(identity, id, content, state)| {
        let holder = Holder {
            uuid: uuid(&id)?,
            content,
            state: state.parse()?,
        };
        Ok((identity, holder))
    });
    holders.collect()
}

const TAKEN: &str = "
    SELECT t.uuid FROM {rows} j CROSS JOIN postroom_tasks t ON t.uuid = j.column1";

async fn find_taken(unit: &mut Unit<'_>, tasks: &[&NewTask]) -> Result<HashSet<Uuid>, Fault> {
    let found: Vec<(Vec<u8>,)> = fetch(unit.conn, TAKEN, tasks, |binds, task| {
        binds.bind(task.task_uuid.as_bytes().as_slice())
    })
    .await?;
    found.into_iter().map(|(id,)| uuid(&id)).collect()
}

const INSERT_TASKS: &str = "
    INSERT INTO postroom_tasks
        (id, uuid, identity, content, namespace, name, version, priority, failure_policy, state, run,
         correlation_id, submitted_by, steps_total, steps_pending, steps_ready, steps_running,
         steps_retry_wait, steps_satisfied, steps_failed, steps_cancelled, created_at)
    SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, 1,
           column11, column12, column13, column14, column15, 0, column16, 0, 0, 0, column17
    FROM {rows} j WHERE j.column1 IS NOT NULL";

const INSERT_DEFINITIONS: &str = "
    INSERT INTO postroom_definitions (task_id, template, input)
    SELECT column1, column2, column3 FROM {rows} j WHERE j.column1 IS NOT NULL";

const INSERT_STEPS: &str = "
    INSERT INTO postroom_steps
        (task_id, idx, name, callable, priority, state, parents, unmet, max_attempts, attempts, lost_leases,
         epoch, due_at)
    SELECT column1, column2, column3, column4, column5, column6, column7, column7, column8, 0, 0, 0, column9
    FROM {rows} j WHERE j.column1 IS NOT NULL";

const INSERT_EDGES: &str = "
    INSERT INTO postroom_edges (task_id, parent, child)
    SELECT column1, column2, column3 FROM {rows} j WHERE j.column1 IS NOT NULL";

async fn insert(unit: &mut Unit<'_>, tasks: &[&NewTask]) -> Result<(), Fault> {
    if tasks.is_empty() {
        return Ok(());
    }
    // Nobody else can take the numbers while this transaction lasts, and they grow with the time a task was
    // submitted, which claims rely on.
    let (last,): (i64,) = sqlx::query_as("SELECT coalesce(max(id), 0) FROM postroom_tasks")
        .fetch_one(&mut *unit.conn)
        .await?;
    let now = unit.now();
    let later = |task: &NewTask| task.run_at.filter(|at| *at > now);
    let tasks: Vec<(i64, &NewTask)> = (last + 1..).zip(tasks.iter().copied()).collect();
    let steps: Vec<(i64, usize, &NewTask)> = tasks
        .iter()
        .flat_map(|(id, task)| (0..task.steps.len()).map(|index| (*id, index, *task)))
        .collect();
    let edges: Vec<(i64, u32, usize)> = steps
        .iter()
        .flat_map(|(id, index, task)| {
            let parents = task.steps[*index].parents.iter();
            parents.map(|parent| (*id, *parent, *index))
        })
        .collect();
    let mut script = Script::default();
    let conn = &mut *unit.conn;
    script
        .set(conn, INSERT_TASKS, &tasks, |binds, (id, task)| {
            let free = task.steps.iter().filter(|step| step.parents.is_empty());
            let free = free.count();
            let (ready, waiting) = if later(task).is_some() {
                (0, free)
            } else {
                (free, 0)
            };
            binds
                .bind(*id)?
                .bind(task.task_uuid.as_bytes().as_slice())?
                .bind(task.identity.as_slice())?
                .bind(task.content.as_slice())?
                .bind(task.namespace.as_str())?
                .bind(task.name.as_str())?
                .bind(task.version.as_str())?
                .bind(task.priority)?
                .bind(task.failure_policy.as_str())?
                .bind(settle::new_task(later(task)).as_str())?
                .bind(task.correlation_id.as_bytes().as_slice())?
                .bind(task.submitted_by.as_bytes().as_slice())?
                .bind(count(task.steps.len()))?
                .bind(count(task.steps.len() - free))?
                .bind(count(ready))?
                .bind(count(waiting))?
                .bind(now)
        })
        .await?;
    script
        .set(conn, INSERT_DEFINITIONS, &tasks, |binds, (id, task)| {
            binds
                .bind(*id)?
                .bind(task.template_json.as_str())?
                .bind(task.input_json.as_str())
        })
        .await?;
    script
        .set(conn, INSERT_STEPS, &steps, |binds, (id, index, task)| {
            let step = &task.steps[*index];
            let (state, due_at) = settle::new_step(step.parents.is_empty(), later(task));
            binds
                .bind(*id)?
                .bind(count(*index))?
                .bind(step.name.as_str())?
                .bind(step.callable.as_str())?
                .bind(task.priority)?
                .bind(state.as_str())?
                .bind(count(step.parents.len()))?
                .bind(step.max_attempts)?
                .bind(due_at)
        })
        .await?;
    script
        .set(conn, INSERT_EDGES, &edges, |binds, (id, parent, child)| {
            binds.bind(*id)?.bind(*parent)?.bind(count(*child))
        })
        .await?;
    script.run(conn).await
}

/// Steps are counted; there are far fewer than this can hold.
fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
