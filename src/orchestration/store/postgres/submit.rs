//! Storing new tasks, as one set.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use uuid::Uuid;

use super::fault::Fault;
use super::task_row::count_as_one;
use super::unit::{Unit, json};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::sql::judge::Child;
use crate::orchestration::store::sql::task_row::TaskRow;
use crate::orchestration::store::{ClaimRequest, NewTask, StoreError, Submission, settle};

type Answer = Result<Submission, StoreError>;

/// A task that has an identity already, in the store or in this batch.
struct Holder {
    uuid: Uuid,
    content: Vec<u8>,
    state: TaskState,
}

impl Holder {
    fn duplicate(&self, task: &NewTask) -> Submission {
        Submission::Duplicate {
            task_uuid: self.uuid,
            state: self.state,
            same_content: self.content == task.content,
        }
    }
}

/// Whoever submits the same identity at the same time waits here for the other's commit; the identities are
/// taken in order, so that two never wait for each other.
///
/// So many first steps as claims of this transaction want are kept back as the children of completed steps are: a step
/// that starts at once has never been in the index of those that wait, where its entry would be in the way of every
/// claim for as long as somebody holds a snapshot.
pub(super) async fn submit(
    unit: &mut Unit<'_>,
    tasks: &[&NewTask],
    wanted: &[&ClaimRequest],
) -> Result<Vec<Answer>, Fault> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    // The first of each identity and id is tried; the others of the batch are told of it.
    let (mut identities, mut ids) = (HashSet::new(), HashSet::new());
    let tried: Vec<bool> = tasks
        .iter()
        .map(|task| {
            settle::check(task).is_ok()
                && !identities.contains(&task.identity)
                && ids.insert(task.task_uuid)
                && identities.insert(task.identity)
        })
        .collect();
    let first = tasks.iter().zip(&tried).filter(|(_, tried)| **tried);
    let first: Vec<&NewTask> = first.map(|(task, _)| *task).collect();
    let created = insert_tasks(unit, &first).await?;
    insert_rest(unit, &first, &created, wanted).await?;
    let is_new =
        |place: usize, task: &NewTask| tried[place] && created.contains_key(&task.task_uuid);
    let others = tasks.iter().enumerate();
    let others = others.filter(|(place, task)| !is_new(*place, task));
    let others: Vec<&[u8]> = others.map(|(_, task)| &task.identity[..]).collect();
    let holders = find_holders(unit, &others).await?;
    let answers = tasks.iter().enumerate().map(|(place, task)| {
        if is_new(place, task) {
            return Ok(Submission::Created {
                task_uuid: task.task_uuid,
            });
        }
        if let Some(holder) = holders.get(task.identity.as_slice()) {
            return Ok(holder.duplicate(task));
        }
        settle::check(task)?;
        Err(StoreError::Invalid {
            task_uuid: task.task_uuid,
            problem: "another task has this id".to_owned(),
        })
    });
    Ok(answers.collect())
}

/// Inserts those whose identity and id are free; returns their numbers.
async fn insert_tasks(
    unit: &mut Unit<'_>,
    tasks: &[&NewTask],
) -> Result<HashMap<Uuid, i64>, Fault> {
    if tasks.is_empty() {
        return Ok(HashMap::new());
    }
    let column = |of: fn(&NewTask) -> &str| -> Vec<String> {
        tasks.iter().map(|task| of(task).to_owned()).collect()
    };
    let small = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let (mut states, mut policies) = (vec![], vec![]);
    // Of each task: all its steps, those that are ready, those that are due later.
    let (mut totals, mut ready, mut waiting) = (vec![], vec![], vec![]);
    for task in tasks {
        let later = later(unit, task);
        let free = task.steps.iter().filter(|step| step.parents.is_empty());
        let free = small(free.count());
        states.push(settle::new_task(later).as_str());
        policies.push(task.failure_policy.as_str());
        totals.push(small(task.steps.len()));
        ready.push(if later.is_none() { free } else { 0 });
        waiting.push(if later.is_none() { 0 } else { free });
    }
    let created: Vec<(Uuid, i64)> = unit
        .query_as(INSERT_TASKS)
        .bind(tasks.iter().map(|task| task.task_uuid).collect::<Vec<_>>())
        .bind(tasks.iter().map(|task| task.identity).collect::<Vec<_>>())
        .bind(tasks.iter().map(|task| task.content).collect::<Vec<_>>())
        .bind(column(|task| &task.namespace))
        .bind(column(|task| &task.name))
        .bind(column(|task| &task.version))
        .bind(tasks.iter().map(|task| task.priority).collect::<Vec<_>>())
        .bind(
            tasks
                .iter()
                .map(|task| task.correlation_id)
                .collect::<Vec<_>>(),
        )
        .bind(
            tasks
                .iter()
                .map(|task| task.submitted_by)
                .collect::<Vec<_>>(),
        )
        .bind(totals)
        .bind(ready)
        .bind(waiting)
        .bind(states)
        .bind(policies)
        .bind(unit.now())
        .fetch_all(&mut *unit.conn)
        .await?;
    unit.wrote();
    unit.made_work |= !created.is_empty();
    // Another transaction may have been given later numbers, and been committed before.
    if let Some(first) = created.iter().map(|(_, id)| *id).min() {
        unit.readies(first);
    }
    Ok(created.into_iter().collect())
}

/// The numbers are given in the order of the batch: claims take what was submitted first. The rows go in by
/// identity.
const INSERT_TASKS: &str = "
    WITH numbered AS MATERIALIZED (
        SELECT nextval('postroom.tasks_id_seq') AS id, g.* FROM (
            SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::text[], $5::text[],
                                 $6::text[], $7::smallint[], $8::uuid[], $9::uuid[],
                                 $10::bigint[], $11::bigint[], $12::bigint[], $13::text[],
                                 $14::text[])
                WITH ORDINALITY
                AS n (uuid, identity, content, namespace, name, version, priority,
                      correlation_id, submitted_by, steps, ready, waiting, state,
                      failure_policy, place)
            ORDER BY place) g)
    INSERT INTO postroom.tasks
        (id, uuid, identity, content, namespace, name, version, state, run, priority,
         failure_policy, correlation_id, submitted_by, steps_total, steps_pending, steps_active, steps_retry_wait,
         steps_satisfied, steps_failed, steps_cancelled, created_at)
    SELECT id, uuid, identity, content, namespace, name, version, state, 1, priority,
           failure_policy, correlation_id, submitted_by, steps, steps - ready - waiting, ready,
           waiting, 0, 0, 0, $15
    FROM numbered ORDER BY identity
    ON CONFLICT DO NOTHING
    RETURNING uuid, id";

/// The moment at which a task is to run, if that has not come.
fn later(unit: &Unit<'_>, task: &NewTask) -> Option<i64> {
    task.run_at.filter(|at| *at > unit.now())
}

/// The definitions and steps of the tasks that were inserted.
async fn insert_rest(
    unit: &mut Unit<'_>,
    tasks: &[&NewTask],
    created: &HashMap<Uuid, i64>,
    wanted: &[&ClaimRequest],
) -> Result<(), Fault> {
    if created.is_empty() {
        return Ok(());
    }
    let room: usize = wanted.iter().map(|claim| claim.limit as usize).sum();
    let wanted: HashSet<&String> = wanted.iter().flat_map(|claim| &claim.callables).collect();
    let mut kept_back = Vec::new();
    let (mut ids, mut templates, mut inputs) = (vec![], vec![], vec![]);
    let (mut task_ids, mut indexes, mut names, mut callables) = (vec![], vec![], vec![], vec![]);
    let (mut priorities, mut states, mut due, mut most) = (vec![], vec![], vec![], vec![]);
    let (mut parents, mut children) = (vec![], vec![]);
    for task in tasks {
        let Some(&id) = created.get(&task.task_uuid) else {
            continue;
        };
        ids.push(id);
        // Nobody else sees it before this is committed: it is as good as locked.
        let mut row = TaskRow::new(id, task, later(unit, task));
        count_as_one(&mut row.counts);
        unit.tasks.insert(id, row);
        templates.push(json(&task.template_json).into_owned());
        inputs.push(json(&task.input_json).into_owned());
        let later = later(unit, task);
        let mut children_of = vec![Vec::new(); task.steps.len()];
        for (index, step) in (0_u32..).zip(&task.steps) {
            let (mut state, due_at) = settle::new_step(step.parents.is_empty(), later);
            if state == StepState::Ready
                && kept_back.len() < room
                && wanted.contains(&step.callable)
            {
                state = StepState::Pending;
                kept_back.push(Child {
                    task_id: id,
                    index: i64::from(index),
                    unmet: 0,
                    state,
                    done: 0,
                    last: 0,
                });
            }
            if state != StepState::Pending {
                unit.nothing_waits = None;
            }
            task_ids.push(id);
            indexes.push(i64::from(index));
            names.push(step.name.clone());
            callables.push(step.callable.clone());
            priorities.push(task.priority);
            states.push(state.as_str());
            due.push(due_at);
            most.push(i64::from(step.max_attempts));
            let mut ordered = step.parents.clone();
            ordered.sort_unstable();
            for parent in &ordered {
                if let Some(children) = children_of.get_mut(*parent as usize) {
                    children.push(index);
                }
            }
            parents.push(array(&ordered));
        }
        children.extend(children_of.iter().map(|children| array(children)));
    }
    let insert = unit
        .query(INSERT_STEPS)
        .bind(ids)
        .bind(templates)
        .bind(inputs)
        .bind(task_ids)
        .bind(indexes)
        .bind(names)
        .bind(callables)
        .bind(priorities)
        .bind(states)
        .bind(parents)
        .bind(children)
        .bind(most)
        .bind(due);
    insert.execute(&mut *unit.conn).await?;
    let ready = vec![StepState::Ready; kept_back.len()];
    unit.save_children(&kept_back, &ready);
    Ok(())
}

const INSERT_STEPS: &str = "
    WITH defined AS (
        INSERT INTO postroom.definitions (task_id, template, input)
        SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]))
    INSERT INTO postroom.steps
        (task_id, idx, name, callable, priority, state, parents, children, unmet, attempts,
         max_attempts, lost_leases, epoch, due_at)
    SELECT task_id, idx, name, callable, priority, state, parents::int[], children::int[],
           cardinality(parents::int[]), 0, max_attempts, 0, 0, due_at
    FROM unnest($4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::smallint[], $9::text[],
                $10::text[], $11::text[], $12::bigint[], $13::bigint[])
        AS n (task_id, idx, name, callable, priority, state, parents, children, max_attempts,
              due_at)";

/// Numbers as the text of an array: an array of arrays would have to be a rectangle.
fn array(numbers: &[u32]) -> String {
    let mut text = String::from("{");
    for (place, number) in numbers.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{number}");
    }
    text.push('}');
    text
}

async fn find_holders(
    unit: &mut Unit<'_>,
    identities: &[&[u8]],
) -> Result<HashMap<Vec<u8>, Holder>, Fault> {
    if identities.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<(Vec<u8>, Uuid, Vec<u8>, String)> = unit
        .query_as(
            "SELECT identity, uuid, content, state FROM postroom.tasks WHERE identity = ANY($1)",
        )
        .bind(identities)
        .fetch_all(&mut *unit.conn)
        .await?;
    let holders = found.into_iter().map(|(identity, uuid, content, state)| {
        let holder = Holder {
            uuid,
            content,
            state: state.parse()?,
        };
        Ok((identity, holder))
    });
    holders.collect()
}
