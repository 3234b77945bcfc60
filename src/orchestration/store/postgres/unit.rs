//! One transaction while it is under way.
//!
//! Every statement is a journey to the server and back. So rows are not written as they change: the unit keeps
//! them and writes them all in one statement, at the end or before something is read that depends on them.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use sqlx::PgConnection;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::{Query, QueryAs, QueryScalar};
use uuid::Uuid;

use super::columns::{ReadiedColumns, StepColumns};
use super::fault::Fault;
use super::head::{Head, Seen};
use super::kept::{Kept, WRITE};
use super::lowest::{Look, Lowest};
use super::opening::{Completed, numbers};
use super::step_row::Found;
use super::task_row::count_as_one;
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::sql::judge::{Child, Recorded};
use crate::orchestration::store::sql::ledger::Ledger;
use crate::orchestration::store::sql::task_row::Tasks;
use crate::orchestration::store::{ClaimScope, StepId};

/// A transaction. The rows of the tasks in `tasks` are locked.
pub(super) struct Unit<'c> {
    pub(super) conn: &'c mut PgConnection,
    pub(super) ledger: Ledger,
    /// The tasks that this transaction has locked, as they stand.
    pub(super) tasks: Tasks,
    /// Which of them are to be written.
    changed: BTreeSet<i64>,
    steps: StepColumns,
    children: Vec<(Child, StepState)>,
    kept_of: KeptOf,
    /// Whether anything was written.
    wrote: bool,
    /// Whether other processes may find something to do by it.
    pub(super) made_work: bool,
    /// Whether statements are prepared once and kept by name.
    named: bool,
    /// Whose row is still to be written.
    commit: Option<Commit>,
    /// Where a process looks for what it holds; a caller's own transaction does not know.
    pub(super) lowest: Option<&'c Lowest>,
    /// Where the steps that wait begin; neither.
    pub(super) head: Option<&'c Head>,
    /// Whether nothing waits for its claims: asked as it began, and not known any more once it has itself written what may
    /// wait.
    pub(super) nothing_waits: Option<bool>,
    /// The first task of which a step became ready.
    pub(super) readied: Option<i64>,
    /// What holds once it is committed.
    pub(super) learned: Vec<Learned>,
    /// Numbers for new tasks that came with its beginning.
    new_numbers: Vec<i64>,
    /// The steps that it completes, if they came with its beginning.
    completed: Option<(Vec<StepId>, Vec<Option<Found>>)>,
}

/// Which intents have left what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeptOf {
    /// Submissions and completions.
    Completions,
    Others,
}

/// What a transaction tells those that come after it.
#[derive(Debug)]
pub(super) enum Learned {
    /// A process has claimed steps from this task on.
    Claimed(Uuid, i64),
    /// A process has looked for what it holds, and found steps from this task on.
    Held(Uuid, Look, Option<i64>),
    /// A claim has found the first step that waits.
    Head(Box<Seen>),
}

/// The name of a commit: its row says that it happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Commit {
    pub(super) writer: Uuid,
    pub(super) number: i64,
    /// Rows of earlier ones that are not needed any more: from here, before `number`.
    pub(super) forget_from: Option<i64>,
}

impl<'c> Unit<'c> {
    /// The transaction has begun at this moment.
    pub(super) fn new(
        conn: &'c mut PgConnection,
        now: i64,
        named: bool,
        commit: Option<Commit>,
    ) -> Self {
        Self {
            conn,
            ledger: Ledger::new(now),
            tasks: Tasks::new(),
            changed: BTreeSet::new(),
            steps: StepColumns::default(),
            children: Vec::new(),
            kept_of: KeptOf::Completions,
            wrote: false,
            made_work: false,
            named,
            commit,
            lowest: None,
            head: None,
            nothing_waits: None,
            readied: None,
            learned: Vec::new(),
            new_numbers: Vec::new(),
            completed: None,
        }
    }

    /// These tasks were locked as it began, and all that are to be.
    pub(super) fn begins_with(&mut self, completed: Completed) {
        self.tasks = completed
            .tasks
            .into_iter()
            .map(|task| (task.id, task))
            .collect();
        self.completed = Some((completed.ids, completed.steps));
    }

    /// These numbers for new tasks came with its beginning.
    pub(super) fn has_new_numbers(&mut self, numbers: Vec<i64>) {
        self.new_numbers = numbers;
    }

    /// Numbers for so many new tasks, in rising order.
    pub(super) async fn take_new_numbers(&mut self, count: usize) -> Result<Vec<i64>, Fault> {
        let mut numbers = std::mem::take(&mut self.new_numbers);
        if numbers.len() < count {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            let query = self.query_scalar(numbers!()).bind(count);
            numbers = query.fetch_one(&mut *self.conn).await?;
        }
        numbers.truncate(count);
        Ok(numbers)
    }

    /// Whether the tasks that it changes were locked as it began.
    pub(super) fn has_locked(&self) -> bool {
        self.completed.is_some()
    }

    /// The steps that it completes, in this order, if they came with its beginning.
    pub(super) fn take_completed(&mut self, ids: &[StepId]) -> Option<Vec<Option<Found>>> {
        let completed = self.completed.take_if(|(known, _)| known == ids);
        completed.map(|(_, steps)| steps)
    }

    /// When it began, or had the locks that came with its beginning. Everything in it happens at this moment.
    pub(super) fn now(&self) -> i64 {
        self.ledger.now
    }

    /// Whether statements are prepared once and kept by name.
    pub(super) fn named(&self) -> bool {
        self.named
    }

    pub(super) fn query<'q>(&self, sql: &'static str) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(sql).persistent(self.named)
    }

    pub(super) fn query_as<'q, O>(&self, sql: &'static str) -> QueryAs<'q, Postgres, O, PgArguments>
    where
        O: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    {
        sqlx::query_as(sql).persistent(self.named)
    }

    pub(super) fn query_scalar<'q, O>(
        &self,
        sql: &'static str,
    ) -> QueryScalar<'q, Postgres, O, PgArguments>
    where
        (O,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    {
        sqlx::query_scalar(sql).persistent(self.named)
    }

    /// Steps of this task, and maybe of later ones, become ready.
    pub(super) fn readies(&mut self, task_id: i64) {
        self.readied = Some(self.readied.map_or(task_id, |first| first.min(task_id)));
    }

    /// A step of this task is left ready, for whoever claims next.
    pub(super) fn leaves_ready(&mut self, task_id: i64) {
        self.made_work = true;
        self.nothing_waits = None;
        self.readies(task_id);
    }

    /// A statement has written something.
    pub(super) fn wrote(&mut self) {
        self.wrote = true;
    }

    /// Keeps tasks to be written.
    pub(super) fn save_tasks(&mut self, tasks: Tasks) {
        for (id, mut task) in tasks {
            count_as_one(&mut task.counts);
            self.changed.insert(id);
            self.tasks.insert(id, task);
        }
    }

    /// Forgets tasks that are no more.
    pub(super) fn forget_tasks(&mut self, ids: &[i64]) {
        for id in ids {
            self.tasks.remove(id);
            self.changed.remove(id);
        }
    }

    /// Keeps completed steps to be written.
    pub(super) fn save_steps(&mut self, recorded: &[Recorded<'_>]) {
        for one in recorded {
            self.steps.push(one);
        }
    }

    /// Keeps the children of completed steps, and first steps, to be written.
    pub(super) fn save_children(&mut self, children: &[Child], states: &[StepState]) {
        let states = states.iter().copied();
        self.children.extend(children.iter().copied().zip(states));
    }

    /// How many of the children become ready.
    pub(super) fn ready(&self) -> usize {
        self.children
            .iter()
            .filter(|child| becomes_ready(child))
            .count()
    }

    /// Takes those of the children out that become ready, for the claim that comes next: it writes them, so that
    /// one that starts at once is written once.
    pub(super) fn take_ready(&mut self, scope: ClaimScope) -> ReadiedColumns {
        let tasks = &self.tasks;
        let ready = self.children.extract_if(.., |child| becomes_ready(child));
        ready
            .map(|(child, _)| (child, lets_start(tasks, scope, child.task_id)))
            .collect()
    }

    /// What is kept is not of submissions and completions alone.
    pub(super) fn keeps_of_others(&mut self) {
        self.kept_of = KeptOf::Others;
    }

    /// Whether a claim would find other steps if what was kept were written, children that become ready apart. What
    /// submissions and completions keep changes nothing where steps have succeeded and their tasks go on, or are
    /// complete.
    pub(super) fn changes_what_can_start(&self) -> bool {
        let mut changed = self.changed.iter().filter_map(|id| self.tasks.get(id));
        self.kept_of == KeptOf::Others
            || !self.steps.all_succeeded()
            || changed.any(|task| !matches!(task.state, TaskState::Running | TaskState::Complete))
    }

    /// The results of the completed steps that are still to be written, by task and index.
    pub(super) fn kept_results(&self) -> HashMap<(i64, i64), &str> {
        self.steps.results().collect()
    }

    /// Writes what was kept, so that what is read next finds it.
    pub(super) async fn flush(&mut self) -> Result<(), Fault> {
        if self.keeps() {
            self.nothing_waits = None;
            self.write().await?;
        }
        Ok(())
    }

    /// Writes all that was kept, and the commit's own row. Returns whether there is anything to commit.
    pub(super) async fn finish(&mut self) -> Result<bool, Fault> {
        if self.keeps() {
            self.write().await?;
        } else if self.wrote {
            self.mark().await?;
        }
        Ok(self.wrote)
    }

    /// Writes the commit's own row, where there was nothing to write it with.
    async fn mark(&mut self) -> Result<(), Fault> {
        if let Some(commit) = self.commit.take() {
            self.query(MARK)
                .bind(self.now())
                .bind(commit.writer)
                .bind(commit.number)
                .bind(commit.forget_from)
                .execute(&mut *self.conn)
                .await?;
        }
        Ok(())
    }

    /// What names the commit, if its own row is still to be written: for who writes it now.
    pub(super) fn take_commit(&mut self) -> Option<Commit> {
        self.commit.take()
    }

    /// Whether the commit's own row is written.
    pub(super) fn is_marked(&self) -> bool {
        self.commit.is_none()
    }

    /// Whether something is kept to be written.
    fn keeps(&self) -> bool {
        !self.changed.is_empty()
            || !self.ledger.rows.is_empty()
            || !self.steps.is_empty()
            || !self.children.is_empty()
    }

    /// Writes what was kept; with the commit's own row if that is still to be written, so that a transaction that has
    /// nothing more to write need not write for it again.
    async fn write(&mut self) -> Result<(), Fault> {
        let kept = self.take_kept(None);
        let ready = kept.children.ready().map(|(task_id, _)| task_id);
        if let Some(first) = ready.min() {
            self.leaves_ready(first);
        }
        let query = kept.bind(self.query_as(WRITE.text(kept.form()))).query;
        let written = query.fetch_one(&mut *self.conn).await?;
        self.wrote = true;
        kept.check(written)
    }

    /// Takes what was kept. `starting`: children that become ready are to start, if they are in it and their tasks let
    /// them.
    pub(super) fn take_kept(&mut self, starting: Option<ClaimScope>) -> Kept {
        let children = std::mem::take(&mut self.children).into_iter();
        let tasks = &self.tasks;
        let children = children.map(|(child, state)| {
            let starts = becomes_ready(&(child, state))
                && starting.is_some_and(|scope| lets_start(tasks, scope, child.task_id));
            (child, state, starts)
        });
        let changed = std::mem::take(&mut self.changed);
        Kept {
            now: self.ledger.now,
            children: children.collect(),
            tasks: changed
                .into_iter()
                .filter_map(|id| tasks.get(&id))
                .collect(),
            steps: std::mem::take(&mut self.steps),
            history: std::mem::take(&mut self.ledger.rows).into_iter().collect(),
            commit: self.commit.take(),
        }
    }
}

fn becomes_ready((child, state): &(Child, StepState)) -> bool {
    child.state == StepState::Pending && *state == StepState::Ready
}

/// Whether a task lets its steps start, and is among those that are asked for.
fn lets_start(tasks: &Tasks, scope: ClaimScope, task_id: i64) -> bool {
    let task = tasks.get(&task_id);
    task.is_some_and(|task| scope.includes(task.uuid) && task.state.is_claimable())
}

/// The commit's own row alone: to begin a statement that writes everything costs more than this one.
const MARK: &str = "
    WITH forgotten AS (
        DELETE FROM postroom.commits WHERE writer = $2 AND number >= $4::bigint AND number < $3)
    INSERT INTO postroom.commits (writer, number, at) VALUES ($2, $3, $1)";

/// Text as the database can hold it: all but the character 0.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{FFFD}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// JSON as the database can hold it; the character 0 means the same when it is escaped.
pub(super) fn json(json: &str) -> Cow<'_, str> {
    if json.contains('\0') {
        Cow::Owned(json.replace('\0', "\\u0000"))
    } else {
        Cow::Borrowed(json)
    }
}
