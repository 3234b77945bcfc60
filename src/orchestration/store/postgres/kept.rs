//! What a transaction has kept, on its way to the server.

use std::sync::LazyLock;

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::QueryAs;

use super::columns::{ChildColumns, HistoryColumns, StepColumns, TaskColumns};
use super::fault::Fault;
use super::sets::{Binding, Form, Parameters, SetStatement, marking};
use super::unit::Commit;

/// The sets, and the moment and the name of their commit.
pub(super) struct Kept {
    pub(super) now: i64,
    pub(super) steps: StepColumns,
    pub(super) children: ChildColumns,
    pub(super) tasks: TaskColumns,
    pub(super) history: HistoryColumns,
    pub(super) commit: Option<Commit>,
}

impl Kept {
    /// In which form it goes.
    pub(super) fn form(&self) -> Form {
        let sets = [self.steps.len(), self.children.len(), self.tasks.len()];
        if sets.iter().all(|rows| *rows <= 1) && self.history.len() <= 2 {
            Form::Values
        } else {
            Form::Arrays
        }
    }

    /// The parameters of [`writing`].
    pub(super) fn bind<'q, O>(
        &'q self,
        query: QueryAs<'q, Postgres, O, PgArguments>,
    ) -> Binding<'q, O> {
        let form = self.form();
        let binding = Binding { query, form }.one(self.now);
        let binding = self.children.bind(self.steps.bind(binding));
        let binding = self.history.bind(self.tasks.bind(binding));
        binding.marking(self.commit)
    }

    /// Whether so many steps, children and tasks are all of them.
    pub(super) fn check(&self, written: (i64, i64, i64)) -> Result<(), Fault> {
        let expected = (self.steps.len(), self.children.len(), self.tasks.len());
        let count = |number| usize::try_from(number).unwrap_or(0);
        if (count(written.0), count(written.1), count(written.2)) != expected {
            return Err(Fault::Corrupt(format!(
                "{written:?} completed steps, children and tasks were written, and not {expected:?}"
            )));
        }
        Ok(())
    }
}

/// A statement that writes everything that a transaction has kept. Empty sets do nothing.
///
/// `children`: from the moment and a set with the columns `task_id`, `idx`, `done`, `state` and `starts`, and from further
/// parameters, the change of the children, and what the statement says beside how much it has written.
///
/// The state of a completed step is compared in a way that lets no partial index be chosen: one begins with the owner, and
/// would be read as a whole for each step.
pub(super) fn writing(
    children: impl Fn(&str, &str, &mut Parameters) -> (String, String),
) -> SetStatement {
    SetStatement::new(|parameters| {
        let now = parameters.one("bigint");
        let steps = parameters.rows(
            "task_id bigint, idx bigint, epoch bigint, state text, due_at bigint, result text, error text",
        );
        let readied =
            parameters.rows("task_id bigint, idx bigint, done bigint, state text, starts boolean");
        let tasks = parameters.rows(
            "id bigint, state text, reason text, run bigint, owner uuid, started_at bigint,
             ended_at bigint, pending bigint, active bigint, retry_wait bigint, satisfied bigint,
             failed bigint, cancelled bigint",
        );
        let history = parameters.two_rows(
            "task_id bigint, run bigint, kind text, step bigint, attempt bigint, epoch bigint,
             from_state text, to_state text, process uuid, detail text",
        );
        let marking = marking(parameters, &now);
        let (readied, says) = children(&now, &readied, parameters);
        format!(
            "WITH stepped AS (
                UPDATE postroom.steps s SET
                    state = n.state, due_at = n.due_at, result = n.result, error = n.error,
                    owner = NULL, lease_until = NULL, ended_at = {now}
                FROM {steps}
                WHERE s.task_id = n.task_id AND s.idx = n.idx AND s.state || '' = 'running'
                    AND s.epoch = n.epoch
                RETURNING 1),
            readied AS ({readied}),
            moved AS (
                UPDATE postroom.tasks t SET
                    state = n.state, reason = n.reason, run = n.run,
                    owner = coalesce(n.owner, t.owner), started_at = n.started_at,
                    ended_at = n.ended_at, steps_pending = n.pending, steps_active = n.active,
                    steps_retry_wait = n.retry_wait, steps_satisfied = n.satisfied,
                    steps_failed = n.failed, steps_cancelled = n.cancelled
                FROM {tasks}
                WHERE t.id = n.id
                RETURNING 1),
            told AS (
                INSERT INTO postroom.history
                    (task_id, at, run, kind, step, attempt, epoch, from_state, to_state, process,
                     detail)
                SELECT task_id, {now}, run, kind, step, attempt, epoch, from_state, to_state,
                       process, detail
                FROM {history}
                WHERE task_id IS NOT NULL
                ORDER BY place),
            {marking}
            SELECT (SELECT count(*) FROM stepped) AS stepped,
                   (SELECT count(*) FROM readied) AS readied,
                   (SELECT count(*) FROM moved) AS moved{says}"
        )
    })
}

/// With children that are left where they come to be.
pub(super) static WRITE: LazyLock<SetStatement> = LazyLock::new(|| {
    writing(|_, children, _| {
        let readied = format!(
            "UPDATE postroom.steps s SET unmet = s.unmet - n.done, state = n.state
             FROM {children}
             WHERE s.task_id = n.task_id AND s.idx = n.idx
             RETURNING 1"
        );
        (readied, String::new())
    })
});
