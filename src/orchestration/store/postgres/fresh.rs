//! New tasks with all that belongs to them, in one statement.
//!
//! A first step that a claim of the same transaction takes should never be written as ready: in the index of those that
//! wait its entry would be in the way of every claim for as long as somebody holds a snapshot. Where nothing else waits, and
//! nothing else is done, it is written as it runs. Otherwise as many as the claims want are kept back, as the children of
//! completed steps are, and the claim decides. That counts tasks too that turn out to be there already.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::LazyLock;

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::QueryAs;
use uuid::Uuid;

use super::sets::{Binding, Form, SetStatement, marking};
use super::unit::{Commit, json};
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

impl<'w> FirstSteps<'w> {
    /// The claim for which they start.
    pub(super) fn request(&self) -> Option<&'w ClaimRequest> {
        match self {
            Self::Start(request) => Some(request),
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
    /// The tasks of which steps are left, for later or for others.
    pub(super) left_waiting: Vec<i64>,
    tasks: NewTasks<'w>,
    steps: NewSteps<'w>,
}

#[derive(Default)]
struct NewTasks<'w> {
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
struct NewSteps<'w> {
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
            left_waiting: Vec::new(),
            tasks: NewTasks::default(),
            steps: NewSteps::default(),
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
            if matches!(state, StepState::Ready | StepState::RetryWait) {
                self.left_waiting.push(id);
            }
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

    /// In which form it goes.
    pub(super) fn form(&self) -> Form {
        if self.tasks.ids.len() <= 1 {
            Form::Values
        } else {
            Form::Arrays
        }
    }

    /// The parameters of [`INSERT`].
    pub(super) fn bind<'q, O>(
        &'q self,
        query: QueryAs<'q, Postgres, O, PgArguments>,
        commit: Option<Commit>,
    ) -> Binding<'q, O> {
        let (tasks, steps) = (&self.tasks, &self.steps);
        let request = self.first_steps.request();
        let form = self.form();
        Binding { query, form }
            .one(self.now)
            .column(&tasks.ids)
            .column(&tasks.uuids)
            .column(&tasks.identities)
            .column(&tasks.contents)
            .column(&tasks.namespaces)
            .column(&tasks.names)
            .column(&tasks.versions)
            .column(&tasks.priorities)
            .column(&tasks.correlations)
            .column(&tasks.submitted_by)
            .column(&tasks.totals)
            .column(&tasks.active)
            .column(&tasks.waiting)
            .column(&tasks.states)
            .column(&tasks.policies)
            .column(&tasks.ids)
            .column(&tasks.templates)
            .column(&tasks.inputs)
            .one(&steps.task_ids)
            .one(&steps.indexes)
            .one(&steps.names)
            .one(&steps.callables)
            .one(&steps.priorities)
            .one(&steps.states)
            .one(&steps.parents)
            .one(&steps.children)
            .one(&steps.max_attempts)
            .one(&steps.due)
            .one(request.map(|request| request.process))
            .one(request.map(|request| self.now + settle::millis(request.lease)))
            .marking(commit)
    }
}

/// Inserts the tasks whose identity and id are free, with their definitions and steps, and returns their numbers. These
/// were given in the order of the batch: claims take what was submitted first. The rows go in by identity.
///
/// Whether the task of another row is new is asked in a form that is looked up for each row: as a join, the server would
/// compare every row with every task, for it believes that there are few.
pub(super) static INSERT: LazyLock<SetStatement> = LazyLock::new(|| {
    SetStatement::new(|parameters| {
        let now = parameters.one("bigint");
        let tasks = parameters.rows(
            "id bigint, uuid uuid, identity bytea, content bytea, namespace text, name text,
             version text, priority smallint, correlation_id uuid, submitted_by uuid, steps bigint,
             active bigint, waiting bigint, state text, failure_policy text",
        );
        let definitions = parameters.rows("id bigint, template text, input text");
        let steps = parameters.arrays(
            "task_id bigint, idx bigint, name text, callable text, priority smallint, state text,
             parents text, children text, max_attempts bigint, due_at bigint",
        );
        let (process, lease_until) = (parameters.one("uuid"), parameters.one("bigint"));
        let marking = marking(parameters, &now);
        format!(
            "WITH created AS (
                INSERT INTO postroom.tasks
                    (id, uuid, identity, content, namespace, name, version, state, run, priority,
                     failure_policy, correlation_id, submitted_by, steps_total, steps_pending,
                     steps_active, steps_retry_wait, steps_satisfied, steps_failed,
                     steps_cancelled, created_at, owner, started_at)
                SELECT id, uuid, identity, content, namespace, name, version, state, 1, priority,
                       failure_policy, correlation_id, submitted_by, steps,
                       steps - active - waiting, active, waiting, 0, 0, 0, {now},
                       CASE WHEN state = 'running' THEN {process} END,
                       CASE WHEN state = 'running' THEN {now} END
                FROM {tasks}
                ORDER BY identity
                ON CONFLICT DO NOTHING
                RETURNING id, state),
            defined AS (
                INSERT INTO postroom.definitions (task_id, template, input)
                SELECT id, template, input FROM {definitions}
                WHERE (n.id IN (SELECT id FROM created)) IS TRUE),
            stepped AS (
                INSERT INTO postroom.steps
                    (task_id, idx, name, callable, priority, state, parents, children, unmet,
                     attempts, max_attempts, lost_leases, epoch, due_at, owner, lease_until,
                     started_at)
                SELECT task_id, idx, name, callable, priority, state, parents::int[],
                       children::int[], cardinality(parents::int[]), (state = 'running')::int,
                       max_attempts, 0, (state = 'running')::int, due_at,
                       CASE WHEN state = 'running' THEN {process} END,
                       CASE WHEN state = 'running' THEN {lease_until} END,
                       CASE WHEN state = 'running' THEN {now} END
                FROM {steps}
                WHERE (n.task_id IN (SELECT id FROM created)) IS TRUE),
            told AS (
                INSERT INTO postroom.history (task_id, at, run, kind, from_state, to_state, process)
                SELECT id, {now}, 1, 'task_state', 'pending', state, {process}
                FROM created WHERE state = 'running'),
            {marking}
            SELECT id FROM created"
        )
    })
});

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
