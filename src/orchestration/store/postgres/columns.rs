//! Sets of rows, column by column, as statements take them.

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::QueryAs;
use uuid::Uuid;

use super::sets::{Binding, Form};
use super::unit::{json, text};
use crate::orchestration::state::StepState;
use crate::orchestration::store::sql::judge::{Child, Recorded};
use crate::orchestration::store::sql::ledger::HistoryRow;
use crate::orchestration::store::sql::task_row::TaskRow;

type Writing<'q, O> = QueryAs<'q, Postgres, O, PgArguments>;

/// As large a number as the database holds, at most: beyond it there is only damage.
pub(super) fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn owned(words: Option<&str>) -> Option<String> {
    words.map(|words| text(words).into_owned())
}

/// Completed steps.
#[derive(Debug, Default)]
pub(super) struct StepColumns {
    task_ids: Vec<i64>,
    indexes: Vec<i64>,
    epochs: Vec<i64>,
    states: Vec<&'static str>,
    due: Vec<Option<i64>>,
    results: Vec<Option<String>>,
    errors: Vec<Option<String>>,
}

impl StepColumns {
    pub(super) fn len(&self) -> usize {
        self.task_ids.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.task_ids.is_empty()
    }

    /// Whether each has done what its children wait for.
    pub(super) fn all_succeeded(&self) -> bool {
        let complete = StepState::Complete.as_str();
        self.states.iter().all(|state| *state == complete)
    }

    /// The results there are, by task and index.
    pub(super) fn results(&self) -> impl Iterator<Item = ((i64, i64), &str)> {
        let places = self
            .task_ids
            .iter()
            .copied()
            .zip(self.indexes.iter().copied());
        let results = places.zip(&self.results);
        results.filter_map(|(place, result)| Some((place, result.as_deref()?)))
    }

    pub(super) fn push(&mut self, one: &Recorded<'_>) {
        self.task_ids.push(one.step.task_id);
        self.indexes.push(i64::from(one.step.index));
        self.epochs.push(long(one.step.epoch));
        self.states.push(one.to.as_str());
        self.due.push(one.due_at);
        self.results
            .push(one.result().map(|result| json(result).into_owned()));
        self.errors.push(owned(one.error.as_deref()));
    }

    pub(super) fn bind<'q, O>(&'q self, binding: Binding<'q, O>) -> Binding<'q, O> {
        binding
            .column(&self.task_ids)
            .column(&self.indexes)
            .column(&self.epochs)
            .column(&self.states)
            .nullable(&self.due)
            .nullable(&self.results)
            .nullable(&self.errors)
    }
}

/// Children of completed steps, each with the state it goes to.
#[derive(Debug, Default)]
pub(super) struct ChildColumns {
    task_ids: Vec<i64>,
    indexes: Vec<i64>,
    done: Vec<i64>,
    states: Vec<&'static str>,
    /// Whether it is to start.
    starts: Vec<bool>,
}

impl ChildColumns {
    pub(super) fn len(&self) -> usize {
        self.task_ids.len()
    }

    /// Tasks and indexes of those that become ready.
    pub(super) fn ready(&self) -> impl Iterator<Item = (i64, i64)> {
        let task_ids = self.task_ids.iter().copied();
        let places = task_ids.zip(self.indexes.iter().copied());
        let ready = StepState::Ready.as_str();
        let all = places.zip(&self.states);
        all.filter_map(move |(place, state)| (*state == ready).then_some(place))
    }

    pub(super) fn bind<'q, O>(&'q self, binding: Binding<'q, O>) -> Binding<'q, O> {
        binding
            .column(&self.task_ids)
            .column(&self.indexes)
            .column(&self.done)
            .column(&self.states)
            .column(&self.starts)
    }
}

impl FromIterator<(Child, StepState, bool)> for ChildColumns {
    fn from_iter<I: IntoIterator<Item = (Child, StepState, bool)>>(children: I) -> Self {
        let mut columns = Self::default();
        for (child, state, starts) in children {
            columns.task_ids.push(child.task_id);
            columns.indexes.push(child.index);
            columns.done.push(child.done);
            columns.states.push(state.as_str());
            columns.starts.push(starts);
        }
        columns
    }
}

/// Children that are ready by this transaction, each with whether its task lets it start.
#[derive(Debug, Default)]
pub(super) struct ReadiedColumns {
    task_ids: Vec<i64>,
    indexes: Vec<i64>,
    done: Vec<i64>,
    starts: Vec<bool>,
}

impl ReadiedColumns {
    pub(super) fn len(&self) -> usize {
        self.task_ids.len()
    }

    pub(super) fn places(&self) -> impl Iterator<Item = (i64, i64)> {
        let task_ids = self.task_ids.iter().copied();
        task_ids.zip(self.indexes.iter().copied())
    }

    pub(super) fn bind<'q, O>(&'q self, query: Writing<'q, O>) -> Writing<'q, O> {
        query
            .bind(&self.task_ids)
            .bind(&self.indexes)
            .bind(&self.done)
            .bind(&self.starts)
    }
}

impl FromIterator<(Child, bool)> for ReadiedColumns {
    fn from_iter<I: IntoIterator<Item = (Child, bool)>>(children: I) -> Self {
        let mut columns = Self::default();
        for (child, starts) in children {
            columns.task_ids.push(child.task_id);
            columns.indexes.push(child.index);
            columns.done.push(child.done);
            columns.starts.push(starts);
        }
        columns
    }
}

/// Tasks that have changed.
#[derive(Debug, Default)]
pub(super) struct TaskColumns {
    ids: Vec<i64>,
    states: Vec<&'static str>,
    reasons: Vec<Option<String>>,
    runs: Vec<i64>,
    owners: Vec<Option<Uuid>>,
    started: Vec<Option<i64>>,
    ended: Vec<Option<i64>>,
    counts: [Vec<i64>; 6],
}

impl TaskColumns {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn bind<'q, O>(&'q self, binding: Binding<'q, O>) -> Binding<'q, O> {
        let binding = binding
            .column(&self.ids)
            .column(&self.states)
            .nullable(&self.reasons)
            .column(&self.runs)
            .nullable(&self.owners)
            .nullable(&self.started)
            .nullable(&self.ended);
        self.counts.iter().fold(binding, Binding::column)
    }
}

impl<'t> FromIterator<&'t TaskRow> for TaskColumns {
    fn from_iter<I: IntoIterator<Item = &'t TaskRow>>(tasks: I) -> Self {
        let mut columns = Self::default();
        for task in tasks {
            columns.ids.push(task.id);
            columns.states.push(task.state.as_str());
            columns.reasons.push(owned(task.reason.as_deref()));
            columns.runs.push(i64::from(task.run));
            columns.owners.push(task.owner);
            columns.started.push(task.started_at);
            columns.ended.push(task.ended_at);
            let counts = &task.counts;
            let counts = [
                counts.pending,
                counts.ready + counts.running,
                counts.retry_wait,
                counts.satisfied,
                counts.failed,
                counts.cancelled,
            ];
            for (column, count) in columns.counts.iter_mut().zip(counts) {
                column.push(i64::from(count));
            }
        }
        columns
    }
}

/// Rows of history.
#[derive(Debug, Default)]
pub(super) struct HistoryColumns {
    task_ids: Vec<i64>,
    runs: Vec<i64>,
    kinds: Vec<&'static str>,
    steps: Vec<Option<i64>>,
    attempts: Vec<Option<i64>>,
    epochs: Vec<Option<i64>>,
    from: Vec<Option<&'static str>>,
    to: Vec<Option<&'static str>>,
    processes: Vec<Uuid>,
    details: Vec<Option<String>>,
}

impl HistoryColumns {
    pub(super) fn len(&self) -> usize {
        self.task_ids.len()
    }

    /// As up to two rows.
    pub(super) fn bind<'q, O>(&'q self, binding: Binding<'q, O>) -> Binding<'q, O> {
        let binding = self.bind_row(binding, 0);
        match binding.form {
            Form::Values => self.bind_row(binding, 1),
            Form::Arrays => binding,
        }
    }

    fn bind_row<'q, O>(&'q self, binding: Binding<'q, O>, row: usize) -> Binding<'q, O> {
        binding
            .column_from(&self.task_ids, row)
            .column_from(&self.runs, row)
            .column_from(&self.kinds, row)
            .nullable_from(&self.steps, row)
            .nullable_from(&self.attempts, row)
            .nullable_from(&self.epochs, row)
            .nullable_from(&self.from, row)
            .nullable_from(&self.to, row)
            .column_from(&self.processes, row)
            .nullable_from(&self.details, row)
    }
}

impl FromIterator<HistoryRow> for HistoryColumns {
    fn from_iter<I: IntoIterator<Item = HistoryRow>>(rows: I) -> Self {
        let mut columns = Self::default();
        for row in rows {
            columns.task_ids.push(row.task_id);
            columns.runs.push(i64::from(row.run));
            columns.kinds.push(row.kind.as_str());
            columns.steps.push(row.step.map(i64::from));
            columns.attempts.push(row.attempt.map(i64::from));
            columns.epochs.push(row.epoch.map(long));
            columns.from.push(row.from);
            columns.to.push(row.to);
            columns.processes.push(row.process);
            columns.details.push(owned(row.detail.as_deref()));
        }
        columns
    }
}
