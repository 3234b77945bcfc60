//! New tasks with all that belongs to them, in one statement.
//!
//! A first step that a claim of the same transaction takes is never written as ready: where nothing else waits it is
//! written as it runs, and otherwise kept back as the children of completed steps are. So it has never been in the index
//! of those that wait, where its entry would be in the way of every claim for as long as somebody holds a snapshot.

use std::collections::HashSet;
use std::fmt::Write;

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::QueryScalar;
use uuid::Uuid;

use super::unit::{Commit, json, marking};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::sql::judge::Child;
use crate::orchestration::store::{ClaimRequest, ClaimedStep, NewTask, StepId, settle};

/// What becomes of the first steps.
pub(super) enum FirstSteps<'w> {
    /// Those with a handler that this claim asks for start: it has room for all of them, and nothing else waits.
    Start(&'w ClaimRequest),
    /// Those with one of these handlers are kept back, at most so many.
    KeepBack(HashSet<&'w str>, usize),
}

impl FirstSteps<'_> {
    /// The process for which they start.
    pub(super) fn process(&self) -> Option<Uuid> {
        match self {
            Self::Start(request) => Some(request.process),
            Self::KeepBack(..) => None,
        }
    }
}

/// One array for each column; and what follows once it is known which of the tasks are new.
pub(super) struct Fresh<'w> {
    now: i64,
    first_steps: FirstSteps<'w>,
    pub(super) kept_back: Vec<Child>,
    /// With the numbers of their tasks.
    pub(super) started: Vec<(i64, ClaimedStep)>,
    /// Whether something is left for later, or for others.
    pub(super) leaves_waiting: bool,
    tasks: TaskColumns<'w>,
    steps: StepColumns<'w>,
}

#[derive(Default)]
struct TaskColumns<'w> {
    ids: Vec<i64>,
    uuids: Vec<Uuid>,
    identities: Vec<&'w [u8]>,
    contents: Vec<&'w [u8]>,
    namespaces: Vec<&'w str>,
    names: Vec<&'w str>,
    versions: Vec<&'w str>,
    priorities: Vec<i16>,
    correlations: Vec<Uuid>,
    submitted_by: Vec<Uuid>,
    totals: Vec<i64>,
    /// Of the steps: those that are ready or run, and those that are due later.
    active: Vec<i64>,
    waiting: Vec<i64>,
    states: Vec<&'static str>,
    policies: Vec<&'static str>,
    templates: Vec<String>,
    inputs: Vec<String>,
}

#[derive(Default)]
struct StepColumns<'w> {
    task_ids: Vec<i64>,
    indexes: Vec<i64>,
    names: Vec<&'w str>,
    callables: Vec<&'w str>,
    priorities: Vec<i16>,
    states: Vec<&'static str>,
    parents: Vec<String>,
    children: Vec<String>,
    max_attempts: Vec<i64>,
    due: Vec<Option<i64>>,
}

/// The moment at which a task is to run, if that has not come.
pub(super) fn later(now: i64, task: &NewTask) -> Option<i64> {
    task.run_at.filter(|at| *at > now)
}

fn small(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl<'w> Fresh<'w> {
    pub(super) fn new(now: i64, first_steps: FirstSteps<'w>) -> Self {
        Self {
            now,
            first_steps,
            kept_back: Vec::new(),
            started: Vec::new(),
            leaves_waiting: false,
            tasks: TaskColumns::default(),
            steps: StepColumns::default(),
        }
    }

    /// Adds a task, which will have this number if it is new.
    pub(super) fn push(&mut self, id: i64, task: &'w NewTask) {
        let later = later(self.now, task);
        let started = self.started.len();
        self.push_steps(id, task, later);
        let starts = self.started.len() > started;
        let free = task.steps.iter().filter(|step| step.parents.is_empty());
        let free = small(free.count());
        let (active, waiting) = if later.is_none() {
            (free, 0)
        } else {
            (0, free)
        };
        let state = if starts {
            TaskState::Running
        } else {
            settle::new_task(later)
        };
        let tasks = &mut self.tasks;
        tasks.ids.push(id);
        tasks.uuids.push(task.task_uuid);
        tasks.identities.push(&task.identity);
        tasks.contents.push(&task.content);
        tasks.namespaces.push(&task.namespace);
        tasks.names.push(&task.name);
        tasks.versions.push(&task.version);
        tasks.priorities.push(task.priority);
        tasks.correlations.push(task.correlation_id);
        tasks.submitted_by.push(task.submitted_by);
        tasks.totals.push(small(task.steps.len()));
        tasks.active.push(active);
        tasks.waiting.push(waiting);
        tasks.states.push(state.as_str());
        tasks.policies.push(task.failure_policy.as_str());
        tasks.templates.push(json(&task.template_json).into_owned());
        tasks.inputs.push(json(&task.input_json).into_owned());
    }

    fn push_steps(&mut self, id: i64, task: &'w NewTask, later: Option<i64>) {
        let mut children = vec![Vec::new(); task.steps.len()];
        for (index, step) in (0_u32..).zip(&task.steps) {
            let (mut state, due_at) = settle::new_step(step.parents.is_empty(), later);
            if state == StepState::Ready {
                state = self.first_step(id, index, task);
            }
            self.leaves_waiting |= matches!(state, StepState::Ready | StepState::RetryWait);
            let mut ordered = step.parents.clone();
            ordered.sort_unstable();
            for parent in &ordered {
                if let Some(children) = children.get_mut(*parent as usize) {
                    children.push(index);
                }
            }
            let steps = &mut self.steps;
            steps.task_ids.push(id);
            steps.indexes.push(i64::from(index));
            steps.names.push(&step.name);
            steps.callables.push(&step.callable);
            steps.priorities.push(task.priority);
            steps.states.push(state.as_str());
            steps.parents.push(array(&ordered));
            steps.max_attempts.push(i64::from(step.max_attempts));
            steps.due.push(due_at);
        }
        let children = children.iter().map(|children| array(children));
        self.steps.children.extend(children);
    }

    /// In which state a step is written that could start.
    fn first_step(&mut self, task_id: i64, index: u32, task: &NewTask) -> StepState {
        let step = &task.steps[index as usize];
        match &self.first_steps {
            FirstSteps::Start(request) if request.callables.contains(&step.callable) => {
                let started = ClaimedStep {
                    id: StepId {
                        task_uuid: task.task_uuid,
                        index,
                    },
                    name: step.name.clone(),
                    callable: step.callable.clone(),
                    epoch: 1,
                    attempt: 1,
                    max_attempts: step.max_attempts,
                    correlation_id: task.correlation_id,
                    parents: Vec::new(),
                };
                self.started.push((task_id, started));
                StepState::Running
            }
            FirstSteps::KeepBack(callables, room)
                if self.kept_back.len() < *room && callables.contains(&*step.callable) =>
            {
                self.kept_back.push(Child {
                    task_id,
                    index: i64::from(index),
                    unmet: 0,
                    state: StepState::Pending,
                    done: 0,
                    last: 0,
                });
                StepState::Pending
            }
            _ => StepState::Ready,
        }
    }

    /// The parameters of [`INSERT`].
    pub(super) fn bind<'q>(
        &'q self,
        query: QueryScalar<'q, Postgres, i64, PgArguments>,
        commit: Option<Commit>,
    ) -> QueryScalar<'q, Postgres, i64, PgArguments> {
        let (tasks, steps) = (&self.tasks, &self.steps);
        let request = match self.first_steps {
            FirstSteps::Start(request) => Some(request),
            FirstSteps::KeepBack(..) => None,
        };
        query
            .bind(self.now)
            .bind(&tasks.ids)
            .bind(&tasks.uuids)
            .bind(&tasks.identities)
            .bind(&tasks.contents)
            .bind(&tasks.namespaces)
            .bind(&tasks.names)
            .bind(&tasks.versions)
            .bind(&tasks.priorities)
            .bind(&tasks.correlations)
            .bind(&tasks.submitted_by)
            .bind(&tasks.totals)
            .bind(&tasks.active)
            .bind(&tasks.waiting)
            .bind(&tasks.states)
            .bind(&tasks.policies)
            .bind(&tasks.templates)
            .bind(&tasks.inputs)
            .bind(&steps.task_ids)
            .bind(&steps.indexes)
            .bind(&steps.names)
            .bind(&steps.callables)
            .bind(&steps.priorities)
            .bind(&steps.states)
            .bind(&steps.parents)
            .bind(&steps.children)
            .bind(&steps.max_attempts)
            .bind(&steps.due)
            .bind(request.map(|request| request.process))
            .bind(request.map(|request| self.now + settle::millis(request.lease)))
            .bind(commit.map(|commit| commit.writer))
            .bind(commit.map(|commit| commit.number))
            .bind(commit.and_then(|commit| commit.forget_from))
    }
}

/// Whether the task of a row is new. In a form that is looked up for each row: as a join, the server would compare every
/// row with every task, for it believes that there are few.
macro_rules! is_new {
    ($task_id:literal) => {
        concat!("(", $task_id, " IN (SELECT id FROM created)) IS TRUE")
    };
}

/// Inserts the tasks whose identity and id are free, with their definitions and steps, and returns their numbers. These
/// were given in the order of the batch: claims take what was submitted first. The rows go in by identity.
pub(super) const INSERT: &str = concat!(
    "WITH created AS (
        INSERT INTO postroom.tasks
            (id, uuid, identity, content, namespace, name, version, state, run, priority,
             failure_policy, correlation_id, submitted_by, steps_total, steps_pending, steps_active,
             steps_retry_wait, steps_satisfied, steps_failed, steps_cancelled, created_at, owner, started_at)
        SELECT id, uuid, identity, content, namespace, name, version, state, 1, priority,
               failure_policy, correlation_id, submitted_by, steps, steps - active - waiting, active,
               waiting, 0, 0, 0, $1, CASE WHEN state = 'running' THEN $29::uuid END,
               CASE WHEN state = 'running' THEN $1 END
        FROM unnest($2::bigint[], $3::uuid[], $4::bytea[], $5::bytea[], $6::text[], $7::text[],
                    $8::text[], $9::smallint[], $10::uuid[], $11::uuid[], $12::bigint[], $13::bigint[],
                    $14::bigint[], $15::text[], $16::text[])
            AS n (id, uuid, identity, content, namespace, name, version, priority, correlation_id,
                  submitted_by, steps, active, waiting, state, failure_policy)
        ORDER BY identity
        ON CONFLICT DO NOTHING
        RETURNING id, state),
    defined AS (
        INSERT INTO postroom.definitions (task_id, template, input)
        SELECT * FROM unnest($2::bigint[], $17::text[], $18::text[]) AS n (id, template, input)
        WHERE ",
    is_new!("n.id"),
    "),
    stepped AS (
        INSERT INTO postroom.steps
            (task_id, idx, name, callable, priority, state, parents, children, unmet, attempts,
             max_attempts, lost_leases, epoch, due_at, owner, lease_until, started_at)
        SELECT task_id, idx, name, callable, priority, state, parents::int[], children::int[],
               cardinality(parents::int[]), (state = 'running')::int, max_attempts, 0,
               (state = 'running')::int, due_at, CASE WHEN state = 'running' THEN $29::uuid END,
               CASE WHEN state = 'running' THEN $30::bigint END, CASE WHEN state = 'running' THEN $1 END
        FROM unnest($19::bigint[], $20::bigint[], $21::text[], $22::text[], $23::smallint[], $24::text[],
                    $25::text[], $26::text[], $27::bigint[], $28::bigint[])
            AS n (task_id, idx, name, callable, priority, state, parents, children, max_attempts,
                  due_at)
        WHERE ",
    is_new!("n.task_id"),
    "),
    told AS (
        INSERT INTO postroom.history (task_id, at, run, kind, from_state, to_state, process)
        SELECT id, $1, 1, 'task_state', 'pending', state, $29 FROM created WHERE state = 'running'),
    ",
    marking!("$31", "$32", "$33"),
    " SELECT id FROM created"
);

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
