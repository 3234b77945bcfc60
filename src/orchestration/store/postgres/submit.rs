//! Storing new tasks, as one set.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::fault::Fault;
use super::fresh::{FirstSteps, Fresh, INSERT, later};
use super::task_row::count_as_one;
use super::unit::{Learned, Unit};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::sql::task_row::TaskRow;
use crate::orchestration::store::{
    ClaimRequest, ClaimedStep, NewTask, StoreError, Submission, settle,
};

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

/// What became of tasks that were submitted.
#[derive(Default)]
pub(super) struct Submitted {
    /// In the order in which they were submitted.
    pub(super) answers: Vec<Answer>,
    /// The claim was answered with these steps.
    pub(super) started: Option<Vec<ClaimedStep>>,
}

/// Whoever submits the same identity at the same time waits here for the other's commit; the identities are
/// taken in order, so that two never wait for each other.
///
/// `claims`: those that came with the tasks and take any task's steps. `alone`: what all claims of this transaction ask for
/// together, if nothing else is done in it; it is answered here if nothing waits and it has room for all that could start.
pub(super) async fn submit(
    unit: &mut Unit<'_>,
    tasks: &[&NewTask],
    claims: &[&ClaimRequest],
    alone: Option<&ClaimRequest>,
) -> Result<Submitted, Fault> {
    if tasks.is_empty() {
        return Ok(Submitted::default());
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
    let alone = alone.filter(|claim| unit.nothing_waits == Some(true) && fits(unit, claim, &first));
    let first_steps = alone.map_or_else(|| keep_back(claims), FirstSteps::Start);
    let (created, started) = insert(unit, &first, first_steps).await?;
    let is_new = |place: usize, task: &NewTask| tried[place] && created.contains(&task.task_uuid);
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
    let answers = answers.collect();
    let started = alone.map(|_| started);
    Ok(Submitted { answers, started })
}

/// Whether a claim has room for all that could start, and nothing is to start later.
fn fits(unit: &Unit<'_>, claim: &ClaimRequest, tasks: &[&NewTask]) -> bool {
    let steps = tasks.iter().flat_map(|task| &task.steps);
    let steps = steps.filter(|step| step.parents.is_empty());
    let wanted = steps.filter(|step| claim.callables.contains(&step.callable));
    wanted.count() <= claim.limit as usize
        && tasks.iter().all(|task| later(unit.now(), task).is_none())
}

/// As many as the claims have room for.
fn keep_back<'w>(claims: &[&'w ClaimRequest]) -> FirstSteps<'w> {
    let callables = claims.iter().flat_map(|claim| &claim.callables);
    let room = claims.iter().map(|claim| claim.limit as usize).sum();
    FirstSteps::KeepBack(callables.map(String::as_str).collect(), room)
}

/// Inserts those whose identity and id are free. Returns their ids, and the steps that have started with them, in the
/// order in which claims hand them out.
async fn insert(
    unit: &mut Unit<'_>,
    tasks: &[&NewTask],
    first_steps: FirstSteps<'_>,
) -> Result<(HashSet<Uuid>, Vec<ClaimedStep>), Fault> {
    if tasks.is_empty() {
        return Ok(Default::default());
    }
    let now = unit.now();
    let process = first_steps.request().map(|request| request.process);
    let mut fresh = Fresh::new(now, first_steps);
    let numbers = unit.take_new_numbers(tasks.len()).await?;
    let numbered: Vec<(i64, &NewTask)> = numbers.into_iter().zip(tasks.iter().copied()).collect();
    for (id, task) in &numbered {
        fresh.push(*id, task);
    }
    let commit = unit.take_commit();
    let created = fresh.bind(unit.query_as(INSERT.text(fresh.form())), commit);
    let created: Vec<(i64,)> = created.query.fetch_all(&mut *unit.conn).await?;
    let created: HashSet<i64> = created.into_iter().map(|(id,)| id).collect();
    unit.wrote();
    fresh
        .kept_back
        .retain(|child| created.contains(&child.task_id));
    fresh.started.retain(|(id, _)| created.contains(id));
    if fresh.left_waiting.iter().any(|id| created.contains(id)) {
        unit.nothing_waits = None;
    }
    // Another transaction may have been given later numbers, and been committed before.
    if let Some(&first) = created.iter().min() {
        unit.made_work = true;
        unit.readies(first);
    }
    if let Some(process) = process
        && let Some(first) = fresh.started.iter().map(|(id, _)| *id).min()
    {
        unit.learned.push(Learned::Claimed(process, first));
    }
    let running: HashSet<i64> = fresh.started.iter().map(|(id, _)| *id).collect();
    let mut uuids = HashSet::new();
    let mut priorities = HashMap::new();
    for (id, task) in numbered {
        if !created.contains(&id) {
            continue;
        }
        uuids.insert(task.task_uuid);
        priorities.insert(id, task.priority);
        // Nobody else sees it before this is committed: it is as good as locked.
        let mut row = TaskRow::new(id, task, later(now, task));
        if running.contains(&id) {
            row.state = TaskState::Running;
            row.started_at = Some(now);
        }
        count_as_one(&mut row.counts);
        unit.tasks.insert(id, row);
    }
    let ready = vec![StepState::Ready; fresh.kept_back.len()];
    unit.save_children(&fresh.kept_back, &ready);
    let mut started = fresh.started;
    // Those of one task stay as they are, which is the order of their places.
    started.sort_by_key(|(id, _)| (Reverse(priorities.get(id).copied()), *id));
    Ok((uuids, started.into_iter().map(|(_, step)| step).collect()))
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
