//! Storing new tasks, as one set.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::fault::Fault;
use super::set::{Script, fetch};
use super::unit::{Unit, uuid};
use crate::orchestration::state::TaskState;
use crate::orchestration::store::sql::task_row::TaskRow;
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
    let Found {
        mut holders,
        mut taken,
        last,
    } = find(unit, tasks).await?;
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
    insert(unit, &new, last).await?;
    Ok(answers)
}

/// What is in the store of a batch before it goes in.
#[derive(Default)]
struct Found {
    /// By identity.
    holders: HashMap<Vec<u8>, Holder>,
    /// Ids that are in use.
    taken: HashSet<Uuid>,
    /// The number of the last task.
    last: i64,
}

/// Number, id, identity, content, state.
type Stored = (
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<String>,
);

/// The tasks that have an identity or an id of the set, and the number of the last task of all.
pub(super) const FIND: &str = "
    SELECT t.id, t.uuid, t.identity, t.content, t.state
    FROM {rows} j CROSS JOIN postroom_tasks t ON t.identity = j.column1 OR t.uuid = j.column2
    UNION ALL SELECT coalesce(max(id), 0), NULL, NULL, NULL, NULL FROM postroom_tasks";

async fn find(unit: &mut Unit<'_>, tasks: &[&NewTask]) -> Result<Found, Fault> {
    let stored: Vec<Stored> = fetch(unit.conn, FIND, tasks, |binds, task| {
        binds
            .bind(task.identity.as_slice())?
            .bind(task.task_uuid.as_bytes().as_slice())
    })
    .await?;
    let mut found = Found::default();
    for row in stored {
        found.last = found.last.max(row.0);
        let (id, Some(task), Some(identity), Some(content), Some(state)) = row else {
            continue;
        };
        let uuid = uuid(&task)?;
        // What this transaction has made of it is not written yet.
        let state = match unit.known_task(id) {
            Some(task) => task.state,
            None => state.parse()?,
        };
        found.taken.insert(uuid);
        let holder = Holder {
            uuid,
            content,
            state,
        };
        found.holders.insert(identity, holder);
    }
    Ok(found)
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

/// Nobody else can take the numbers after the last one while this transaction lasts, and they grow with the time a
/// task was submitted, which claims rely on.
async fn insert(unit: &mut Unit<'_>, tasks: &[&NewTask], last: i64) -> Result<(), Fault> {
    if tasks.is_empty() {
        return Ok(());
    }
    let now = unit.now();
    let later = |task: &NewTask| task.run_at.filter(|at| *at > now);
    let tasks: Vec<(i64, &NewTask)> = (last + 1..).zip(tasks.iter().copied()).collect();
    let rows: Vec<(&NewTask, TaskRow)> = tasks
        .iter()
        .map(|(id, task)| (*task, TaskRow::new(*id, task, later(task))))
        .collect();
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
        .set(conn, INSERT_TASKS, &rows, |binds, (task, row)| {
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
                .bind(row.counts.retry_wait)?
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
    script.run(conn).await?;
    for (_, row) in rows {
        unit.known.new_task(row);
    }
    Ok(())
}

/// Steps are counted; there are far fewer than this can hold.
fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
