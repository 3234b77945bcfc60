//! Claiming steps.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use sqlx::sqlite::SqliteRow;

use super::fault::Fault;
use super::runnable::{AsWritten, Claimable, Runnable, Stored};
use super::set::{Binds, Bound, Script, fetch_after, fetch_numbered};
use super::started::{Owner, Started};
use super::unit::{Unit, count, json};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::sql::step_row::StepRow;
use crate::orchestration::store::sql::task_row::Tasks;
use crate::orchestration::store::sql::{from_row, number};
use crate::orchestration::store::{
    ClaimRequest, ClaimScope, ClaimedStep, ParentResult, StepId, settle,
};

/// Whether the process serves the task `t`: it says so of every task, or of its template.
macro_rules! serves {
    ($parameter:literal) => {
        concat!(
            " AND (",
            $parameter,
            " = '[]' OR EXISTS (SELECT 1 FROM json_each(",
            $parameter,
            ") v WHERE v.value ->> 'namespace' = t.namespace
                AND coalesce(v.value ->> 'name', t.name) = t.name
                AND coalesce(v.value ->> 'version', t.version) = t.version)) "
        )
    };
}

/// Reads what a claim brings only of the few steps that were chosen.
macro_rules! of_found {
    ($($found:tt)+) => {
        concat!(
            "
    SELECT s.priority, s.task_id, s.idx, s.state, s.name, s.callable, s.epoch, s.attempts, s.max_attempts,
           s.parents
    FROM (",
            $($found)+,
            ") f CROSS JOIN postroom_steps s ON s.task_id = f.task_id AND s.idx = f.idx"
        )
    };
}

/// The first runnable steps of any task. For each handler the index brings its first few, so that the cost
/// does not depend on how much is waiting. As everywhere here, `+ 0` keeps a limit out of the plan: see the test of
/// plans.
pub(super) const RUNNABLE: &str = of_found!(
    "
    SELECT r.value ->> 0 AS priority, r.value ->> 1 AS task_id, r.value ->> 2 AS idx
    FROM json_each(?1) c, json_each((
        SELECT json_group_array(json_array(priority, task_id, idx)) FROM (
            SELECT s.priority, s.task_id, s.idx
            FROM postroom_steps s CROSS JOIN postroom_tasks t ON t.id = s.task_id
            WHERE s.state = 'ready' AND s.callable = c.value
                AND t.state IN ('pending', 'running', 'waiting', 'blocked')",
    serves!("?5"),
    "ORDER BY s.priority DESC, s.task_id, s.idx LIMIT ?2 + 0))) r
    UNION ALL
    SELECT s.priority, s.task_id, s.idx
    FROM json_each(?1) c CROSS JOIN postroom_steps s
        ON s.state = 'retry_wait' AND s.callable = c.value AND s.due_at <= ?3
    CROSS JOIN postroom_tasks t
        ON t.id = s.task_id AND t.state IN ('pending', 'running', 'waiting', 'blocked')",
    serves!("?5"),
    "ORDER BY 1 DESC, 2, 3 LIMIT ?2 + 0"
);

/// The first runnable steps of one task.
pub(super) const RUNNABLE_OF_TASK: &str = of_found!(
    "
    SELECT s.priority, s.task_id, s.idx
    FROM postroom_tasks t CROSS JOIN json_each(?1) c CROSS JOIN postroom_steps s
        ON s.state = 'ready' AND s.callable = c.value AND s.priority = t.priority
        AND s.task_id = t.id
    WHERE t.uuid = ?4 AND t.state IN ('pending', 'running', 'waiting', 'blocked')",
    serves!("?5"),
    "UNION ALL
    SELECT s.priority, s.task_id, s.idx
    FROM postroom_tasks t CROSS JOIN json_each(?1) c CROSS JOIN postroom_steps s
        ON s.state = 'retry_wait' AND s.callable = c.value AND s.due_at <= ?3
        AND s.task_id = t.id
    WHERE t.uuid = ?4 AND t.state IN ('pending', 'running', 'waiting', 'blocked')",
    serves!("?5"),
    "ORDER BY 1 DESC, 2, 3 LIMIT ?2 + 0"
);

/// When the next retry falls due.
pub(super) const NEXT_DUE: &str = concat!(
    "SELECT min((
        SELECT s.due_at FROM postroom_steps s CROSS JOIN postroom_tasks t ON t.id = s.task_id
        WHERE s.state = 'retry_wait' AND s.callable = c.value
            AND t.state IN ('pending', 'running', 'waiting', 'blocked')
            AND (?2 IS NULL OR t.uuid = ?2)",
    serves!("?3"),
    "ORDER BY s.due_at LIMIT 1))
    FROM json_each(?1) c"
);

/// Steps that a claim chooses from in memory; of more, the database's index brings the first.
const MOST_KEPT: usize = 1_024;

pub(super) async fn claim(
    unit: &mut Unit<'_>,
    request: &ClaimRequest,
) -> Result<Vec<ClaimedStep>, Fault> {
    // Whose templates' steps those are that have become ready is not kept with them.
    let unsaid = !request.serves.is_empty() && !unit.readied.is_empty();
    if unit.kept_steps() > MOST_KEPT || unit.keeps_retries() || unsaid {
        unit.flush_steps().await?;
    }
    // Those of the claim before.
    unit.flush_started().await?;
    let mut runnable = unit.take_runnable(request);
    runnable.extend(find(unit, request, &runnable).await?);
    runnable.sort_by_key(Runnable::order);
    let most = usize::try_from(request.limit).unwrap_or(usize::MAX);
    if runnable.len() > most {
        unit.put_back(runnable.split_off(most));
    }
    if runnable.is_empty() {
        return Ok(Vec::new());
    }
    take(unit, request, runnable).await
}

/// Time until the next retry that the claim could bring falls due.
pub(super) async fn next_due(
    unit: &mut Unit<'_>,
    request: &ClaimRequest,
) -> Result<Option<Duration>, Fault> {
    let task = match request.scope {
        ClaimScope::Any => None,
        ClaimScope::Task(task) => Some(task.as_bytes().to_vec()),
    };
    // Those that are due later are looked for.
    unit.flush_steps().await?;
    let (next_due,): (Option<i64>,) = sqlx::query_as(NEXT_DUE)
        .bind(callables(request)?)
        .bind(task)
        .bind(json(&request.serves)?)
        .fetch_one(&mut *unit.conn)
        .await?;
    let left = |due: i64| Duration::from_millis(u64::try_from(due - unit.now()).unwrap_or(0));
    Ok(next_due.map(left))
}

/// The handlers that are asked for, each once.
fn callables(request: &ClaimRequest) -> Result<String, Fault> {
    let callables: BTreeSet<&str> = request.callables.iter().map(String::as_str).collect();
    json(&callables)
}

from_row! {
    pub(super) struct RunnableRow(SqliteRow) {
        priority: i64,
        task_id: i64,
        idx: i64,
        state: String,
        name: String,
        callable: String,
        epoch: i64,
        attempts: i64,
        max_attempts: i64,
        parents: i64,
    }
}

impl TryFrom<RunnableRow> for Runnable<'_> {
    type Error = Fault;

    fn try_from(row: RunnableRow) -> Result<Self, Fault> {
        Ok(Self {
            priority: row.priority,
            task_id: row.task_id,
            index: row.idx,
            as_written: AsWritten::Stored(Stored {
                state: row.state.parse()?,
                has_parents: row.parents > 0,
                step: Claimable {
                    name: row.name,
                    callable: row.callable,
                    epoch: row.epoch,
                    attempts: row.attempts,
                    max_attempts: row.max_attempts,
                },
            }),
        })
    }
}

/// The statement that finds what a claim may bring.
pub(super) fn runnable(request: &ClaimRequest) -> &'static str {
    match request.scope {
        ClaimScope::Any => RUNNABLE,
        ClaimScope::Task(_) => RUNNABLE_OF_TASK,
    }
}

/// Its parameters, for so many steps; `now` may be left out where the statement has the time itself.
pub(super) fn bind_request<'b, 'a>(
    binds: &'b mut Binds<'a>,
    request: &ClaimRequest,
    most: i64,
    now: Option<i64>,
) -> Bound<'b, 'a> {
    let task = match request.scope {
        ClaimScope::Any => None,
        ClaimScope::Task(task) => Some(task.as_bytes().to_vec()),
    };
    binds
        .bind(callables(request)?)?
        .bind(most)?
        .bind(now)?
        .bind(task)?
        .bind(json(&request.serves)?)
}

/// The stored steps that may be among the first, beside those that are kept.
async fn find<'w>(
    unit: &mut Unit<'w>,
    request: &ClaimRequest,
    kept: &[Runnable<'w>],
) -> Result<Vec<Runnable<'w>>, Fault> {
    if let Some(found) = unit.ahead.take_runnable(request) {
        return found.into_iter().map(Runnable::try_from).collect();
    }
    // Those that are kept mostly come first, because their tasks are older. Then no more are needed than they leave
    // room for, and one that shows that it is so.
    let kept = &kept[..kept.len().min(number(i64::from(request.limit))?)];
    let room = i64::from(request.limit) - count(kept.len());
    let some = i64::from(request.limit).min(room + 1);
    let found = find_first(unit, request, some).await?;
    // Those that were not found come after all that were.
    let last = found.iter().map(Runnable::order).max();
    let is_in_front = last
        .zip(kept.last())
        .is_some_and(|(last, kept)| last < kept.order());
    if some < i64::from(request.limit) && count(found.len()) == some && is_in_front {
        return find_first(unit, request, i64::from(request.limit)).await;
    }
    Ok(found)
}

/// The first stored steps that may be claimed, at most so many.
async fn find_first<'w>(
    unit: &mut Unit<'w>,
    request: &ClaimRequest,
    most: i64,
) -> Result<Vec<Runnable<'w>>, Fault> {
    let now = Some(unit.now());
    let found: Vec<RunnableRow> = fetch_numbered(unit.conn, runnable(request), |binds| {
        bind_request(binds, request, most, now)
    })
    .await?;
    found.into_iter().map(Runnable::try_from).collect()
}

/// A step that runs by now.
struct Taken {
    task_id: i64,
    index: i64,
    step: Claimable,
    /// The state that its task has counted it in.
    from: StepState,
    parents: Vec<ParentResult>,
}

impl<'w> Unit<'w> {
    /// Keeps that a step runs. Its parents' results are left out if they are to be read.
    fn start(&mut self, runnable: Runnable<'w>, owner: Owner) -> Result<Taken, Fault> {
        let Runnable { task_id, index, .. } = runnable;
        let mut start = |from, done| {
            self.started.push(Started {
                task_id,
                index,
                from,
                done,
                owner,
            });
        };
        let mut parents = Vec::new();
        let mut from = StepState::Ready;
        let step = match runnable.as_written {
            AsWritten::Stored(stored) => {
                start(stored.state, 0);
                from = stored.state;
                stored.step
            }
            AsWritten::Readied(readied) => {
                start(StepState::Pending, readied.done);
                let results = readied.results.into_iter().flatten();
                parents = results.map(ParentResult::from).collect();
                readied.step
            }
            AsWritten::Fresh(place) => self.start_fresh(place, index, owner)?,
        };
        Ok(Taken {
            task_id,
            index,
            step,
            from,
            parents,
        })
    }

    /// Keeps that a step of a new task runs.
    fn start_fresh(&mut self, place: usize, index: i64, owner: Owner) -> Result<Claimable, Fault> {
        let missing = || Fault::Corrupt(format!("new step {index} is missing"));
        let fresh = self.fresh.get_mut(place).ok_or_else(missing)?;
        let at = number(index)?;
        let step = fresh.task.steps.get(at).ok_or_else(missing)?;
        fresh.started.insert(at, owner);
        Ok(Claimable {
            name: step.name.clone(),
            callable: step.callable.clone(),
            epoch: 0,
            attempts: 0,
            max_attempts: i64::from(step.max_attempts),
        })
    }
}

/// Keeps that steps run, and brings them.
async fn take<'w>(
    unit: &mut Unit<'w>,
    request: &ClaimRequest,
    runnable: Vec<Runnable<'w>>,
) -> Result<Vec<ClaimedStep>, Fault> {
    let owner = Owner {
        process: request.process,
        lease_until: unit.now() + settle::millis(request.lease),
    };
    let of: Vec<(i64, i64)> = runnable
        .iter()
        .filter(|step| step.has_results_to_read())
        .map(|step| (step.task_id, step.index))
        .collect();
    let mut results = results_of_parents(unit, &of).await?;
    let mut taken = Vec::with_capacity(runnable.len());
    for step in runnable {
        let mut step = unit.start(step, owner)?;
        if let Some(results) = results.remove(&(step.task_id, step.index)) {
            step.parents = results;
        }
        taken.push(step);
    }

    let mut tasks = unit
        .load_tasks(&taken.iter().map(|taken| taken.task_id).collect())
        .await?;
    for step in &taken {
        if let Some(task) = tasks.get_mut(&step.task_id) {
            settle::recount(&mut task.counts, step.from, StepState::Running);
            task.started_at.get_or_insert(unit.now());
        }
    }
    for task in tasks.values_mut() {
        unit.ledger
            .move_task(task, TaskState::Running, None, request.process);
    }
    unit.save_tasks(tasks.values());
    let mut steps = Vec::with_capacity(taken.len());
    for taken in taken {
        let task_id = taken.task_id;
        let step = claimed_step(taken, &tasks)?;
        let row = StepRow {
            task_id,
            index: step.id.index,
            state: StepState::Running,
            epoch: step.epoch,
            owner: Some(request.process),
            attempts: step.attempt,
            max_attempts: step.max_attempts,
        };
        unit.known.claimed(step.id, row);
        steps.push(step);
    }
    Ok(steps)
}

const RESULTS_OF_PARENTS: &str = "
    SELECT e.task_id, e.child, p.name, p.result
    FROM {rows} j
    CROSS JOIN postroom_edges e ON e.task_id = j.column1 AND e.child = j.column2
    CROSS JOIN postroom_steps p ON p.task_id = e.task_id AND p.idx = e.parent
    ORDER BY e.task_id, e.child, e.parent";

/// Task, child, the parent's name and result.
type ParentRow = (i64, i64, String, Option<String>);

/// Of each of these steps, the results of its parents in template order.
async fn results_of_parents(
    unit: &mut Unit<'_>,
    steps: &[(i64, i64)],
) -> Result<HashMap<(i64, i64), Vec<ParentResult>>, Fault> {
    let mut parents: HashMap<_, Vec<_>> = HashMap::new();
    if steps.is_empty() {
        return Ok(parents);
    }
    let mut before = Script::default();
    before.level(&[unit.completed.len(), unit.waiting.len()]);
    unit.completed_into(&mut before).await?;
    let found: Vec<ParentRow> = fetch_after(
        unit.conn,
        before,
        RESULTS_OF_PARENTS,
        steps,
        |binds, step| binds.bind(step.0)?.bind(step.1),
    )
    .await?;
    for (task_id, child, name, result) in found {
        let results = parents.entry((task_id, child)).or_default();
        results.push(ParentResult {
            name,
            result_json: result.unwrap_or_else(|| "null".to_owned()),
        });
    }
    Ok(parents)
}

fn claimed_step(taken: Taken, tasks: &Tasks) -> Result<ClaimedStep, Fault> {
    let step = taken.step;
    let task = tasks
        .get(&taken.task_id)
        .ok_or_else(|| Fault::Corrupt(format!("step {} has no task", step.name)))?;
    Ok(ClaimedStep {
        id: StepId {
            task_uuid: task.uuid,
            index: number(taken.index)?,
        },
        name: step.name,
        callable: step.callable,
        epoch: number(step.epoch + 1)?,
        attempt: number(step.attempts + 1)?,
        max_attempts: number(step.max_attempts)?,
        correlation_id: task.correlation_id,
        parents: taken.parents,
    })
}
