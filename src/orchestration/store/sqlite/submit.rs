//! Storing new tasks, as one set.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::fault::Fault;
use super::unit::{Unit, hex, json, uuid};
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

async fn find_holders(
    unit: &mut Unit<'_>,
    tasks: &[&NewTask],
) -> Result<HashMap<Vec<u8>, Holder>, Fault> {
    let identities: Vec<String> = tasks.iter().map(|task| hex(&task.identity)).collect();
    let found: Vec<Found> = sqlx::query_as(
        "SELECT t.identity, t.uuid, t.content, t.state
         FROM json_each(?1) j CROSS JOIN postroom_tasks t ON t.identity = unhex(j.value)",
    )
    .bind(json(&identities)?)
    .fetch_all(&mut *unit.conn)
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

async fn find_taken(unit: &mut Unit<'_>, tasks: &[&NewTask]) -> Result<HashSet<Uuid>, Fault> {
    let ids: Vec<String> = tasks
        .iter()
        .map(|task| hex(task.task_uuid.as_bytes()))
        .collect();
    let found: Vec<(Vec<u8>,)> = sqlx::query_as(
        "SELECT t.uuid FROM json_each(?1) j CROSS JOIN postroom_tasks t ON t.uuid = unhex(j.value)",
    )
    .bind(json(&ids)?)
    .fetch_all(&mut *unit.conn)
    .await?;
    found.into_iter().map(|(id,)| uuid(&id)).collect()
}

/// The rows of new tasks, each set as one parameter.
struct Rows {
    tasks: String,
    definitions: String,
    steps: String,
    edges: Option<String>,
}

/// Numbers the tasks from behind the last one that is stored.
fn rows(last: i64, now: i64, tasks: &[&NewTask]) -> Result<Rows, Fault> {
    let (mut rows, mut definitions, mut steps, mut edges) = (vec![], vec![], vec![], vec![]);
    for (id, task) in (last + 1..).zip(tasks) {
        let later = task.run_at.filter(|at| *at > now);
        let free = task
            .steps
            .iter()
            .filter(|step| step.parents.is_empty())
            .count();
        rows.push((
            (
                id,
                hex(task.task_uuid.as_bytes()),
                hex(&task.identity),
                hex(&task.content),
            ),
            (
                (&task.namespace, &task.name, &task.version),
                (task.priority, task.failure_policy),
                settle::new_task(later),
            ),
            (
                hex(task.correlation_id.as_bytes()),
                hex(task.submitted_by.as_bytes()),
            ),
            (
                task.steps.len(),
                task.steps.len() - free,
                if later.is_some() {
                    (0, free)
                } else {
                    (free, 0)
                },
            ),
        ));
        definitions.push((id, &task.template_json, &task.input_json));
        for (index, step) in task.steps.iter().enumerate() {
            let (state, due_at) = settle::new_step(step.parents.is_empty(), later);
            let (name, callable) = (&step.name, &step.callable);
            let unmet = step.parents.len();
            steps.push((
                id,
                index,
                name,
                callable,
                task.priority,
                state,
                unmet,
                step.max_attempts,
                due_at,
            ));
            edges.extend(step.parents.iter().map(|parent| (id, *parent, index)));
        }
    }
    Ok(Rows {
        tasks: json(&rows)?,
        definitions: json(&definitions)?,
        steps: json(&steps)?,
        edges: (!edges.is_empty()).then(|| json(&edges)).transpose()?,
    })
}

async fn insert(unit: &mut Unit<'_>, tasks: &[&NewTask]) -> Result<(), Fault> {
    if tasks.is_empty() {
        return Ok(());
    }
    // Nobody else can take the numbers while this transaction lasts, and they grow with the time a task was
    // submitted, which claims rely on.
    let (last,): (i64,) = sqlx::query_as("SELECT coalesce(max(id), 0) FROM postroom_tasks")
        .fetch_one(&mut *unit.conn)
        .await?;
    let rows = rows(last, unit.now(), tasks)?;
    sqlx::query(
        "INSERT INTO postroom_tasks
            (id, uuid, identity, content, namespace, name, version, priority, failure_policy, state, run,
             correlation_id, submitted_by, steps_total, steps_pending, steps_ready, steps_running,
             steps_retry_wait, steps_satisfied, steps_failed, steps_cancelled, created_at)
         SELECT value ->> '$[0][0]', unhex(value ->> '$[0][1]'), unhex(value ->> '$[0][2]'),
                unhex(value ->> '$[0][3]'), value ->> '$[1][0][0]', value ->> '$[1][0][1]',
                value ->> '$[1][0][2]', value ->> '$[1][1][0]', value ->> '$[1][1][1]',
                value ->> '$[1][2]', 1,
                unhex(value ->> '$[2][0]'), unhex(value ->> '$[2][1]'), value ->> '$[3][0]',
                value ->> '$[3][1]', value ->> '$[3][2][0]', 0, value ->> '$[3][2][1]', 0, 0, 0, ?2
         FROM json_each(?1)",
    )
    .bind(rows.tasks)
    .bind(unit.now())
    .execute(&mut *unit.conn)
    .await?;
    sqlx::query(
        "INSERT INTO postroom_definitions (task_id, template, input)
         SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)",
    )
    .bind(rows.definitions)
    .execute(&mut *unit.conn)
    .await?;
    sqlx::query(
        "INSERT INTO postroom_steps
            (task_id, idx, name, callable, priority, state, parents, unmet, max_attempts, attempts,
             lost_leases, epoch, due_at)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                value ->> 6, value ->> 6, value ->> 7, 0, 0, 0, value ->> 8
         FROM json_each(?1)",
    )
    .bind(rows.steps)
    .execute(&mut *unit.conn)
    .await?;
    let Some(edges) = rows.edges else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO postroom_edges (task_id, parent, child)
         SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)",
    )
    .bind(edges)
    .execute(&mut *unit.conn)
    .await?;
    Ok(())
}
