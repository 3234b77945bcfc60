//! Claiming steps.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use sqlx::sqlite::SqliteRow;

use super::fault::Fault;
use super::fresh::Started;
use super::runnable::{AsWritten, Runnable};
use super::set::{Binds, Bound, Script, fetch_both, fetch_numbered};
use super::unit::{Unit, json};
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

/// The first runnable steps of any task. For each handler the index brings its first few, so that the cost
/// does not depend on how much is waiting.
pub(super) const RUNNABLE: &str = concat!(
    "
    SELECT r.value ->> 0 AS priority, r.value ->> 1 AS task_id, r.value ->> 2 AS idx, 'ready' AS state
    FROM json_each(?1) c, json_each((
        SELECT json_group_array(json_array(priority, task_id, idx)) FROM (
            SELECT s.priority, s.task_id, s.idx
            FROM postroom_steps s CROSS JOIN postroom_tasks t ON t.id = s.task_id
            WHERE s.state = 'ready' AND s.callable = c.value
                AND t.state IN ('pending', 'running', 'waiting', 'blocked')",
    serves!("?5"),
    "ORDER BY s.priority DESC, s.task_id, s.idx LIMIT ?2))) r
    UNION ALL
    SELECT s.priority, s.task_id, s.idx, 'retry_wait'
    FROM json_each(?1) c CROSS JOIN postroom_steps s
        ON s.state = 'retry_wait' AND s.callable = c.value AND s.due_at <= ?3
    CROSS JOIN postroom_tasks t
        ON t.id = s.task_id AND t.state IN ('pending', 'running', 'waiting', 'blocked')",
    serves!("?5"),
    "ORDER BY 1 DESC, 2, 3 LIMIT ?2"
);

/// The first runnable steps of one task.
pub(super) const RUNNABLE_OF_TASK: &str = concat!(
    "
    SELECT s.priority, s.task_id, s.idx, s.state
    FROM postroom_tasks t CROSS JOIN json_each(?1) c CROSS JOIN postroom_steps s
        ON s.state = 'ready' AND s.callable = c.value AND s.priority = t.priority
        AND s.task_id = t.id
    WHERE t.uuid = ?4 AND t.state IN ('pending', 'running', 'waiting', 'blocked')",
    serves!("?5"),
    "UNION ALL
    SELECT s.priority, s.task_id, s.idx, s.state
    FROM postroom_tasks t CROSS JOIN json_each(?1) c CROSS JOIN postroom_steps s
        ON s.state = 'retry_wait' AND s.callable = c.value AND s.due_at <= ?3
        AND s.task_id = t.id
    WHERE t.uuid = ?4 AND t.state IN ('pending', 'running', 'waiting', 'blocked')",
    serves!("?5"),
    "ORDER BY 1 DESC, 2, 3 LIMIT ?2"
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
    let found = find(unit, request).await?;
    let runnable = unit.first_runnable(request, found);
    if runnable.is_empty() {
        return Ok(Vec::new());
    }
    take(unit, request, &runnable).await
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

/// Priority, task, index, state.
pub(super) type RunnableRow = (i64, i64, i64, String);

/// The statement that finds what a claim may bring.
pub(super) fn runnable(request: &ClaimRequest) -> &'static str {
    match request.scope {
        ClaimScope::Any => RUNNABLE,
        ClaimScope::Task(_) => RUNNABLE_OF_TASK,
    }
}

/// Its parameters; `now` may be left out where the statement has the time itself.
pub(super) fn bind_request<'b, 'a>(
    binds: &'b mut Binds<'a>,
    request: &ClaimRequest,
    now: Option<i64>,
) -> Bound<'b, 'a> {
    let task = match request.scope {
        ClaimScope::Any => None,
        ClaimScope::Task(task) => Some(task.as_bytes().to_vec()),
    };
    binds
        .bind(callables(request)?)?
        .bind(i64::from(request.limit))?
        .bind(now)?
        .bind(task)?
        .bind(json(&request.serves)?)
}

async fn find(unit: &mut Unit<'_>, request: &ClaimRequest) -> Result<Vec<Runnable>, Fault> {
    let found = if let Some(found) = unit.ahead.take_runnable(request) {
        found
    } else {
        let now = Some(unit.now());
        fetch_numbered(unit.conn, runnable(request), |binds| {
            bind_request(binds, request, now)
        })
        .await?
    };
    found
        .into_iter()
        .map(|(priority, task_id, index, state): RunnableRow| {
            Ok(Runnable {
                priority,
                task_id,
                index,
                as_written: AsWritten::Stored(state.parse()?),
            })
        })
        .collect()
}

from_row! {
    struct Taken(SqliteRow) {
        task_id: i64,
        idx: i64,
        name: String,
        callable: String,
        epoch: i64,
        attempts: i64,
        max_attempts: i64,
    }
}

impl Unit<'_> {
    /// Keeps that a step of a new task runs.
    fn start_fresh(&mut self, place: usize, index: i64, started: Started) -> Result<Taken, Fault> {
        let missing = || Fault::Corrupt(format!("new step {index} is missing"));
        let fresh = self.fresh.get_mut(place).ok_or_else(missing)?;
        let at = number(index)?;
        let step = fresh.task.steps.get(at).ok_or_else(missing)?;
        fresh.started.insert(at, started);
        Ok(Taken {
            task_id: fresh.id,
            idx: index,
            name: step.name.clone(),
            callable: step.callable.clone(),
            epoch: 1,
            attempts: 1,
            max_attempts: i64::from(step.max_attempts),
        })
    }
}

const TAKE: &str = "
    UPDATE postroom_steps SET
        state = 'running', epoch = epoch + 1, attempts = attempts + 1, owner = j.column4,
        lease_until = j.column5, due_at = NULL, started_at = j.column6, ended_at = NULL,
        unmet = unmet - j.column7
    FROM {rows} j
    WHERE postroom_steps.task_id = j.column1 AND postroom_steps.idx = j.column2
        AND postroom_steps.state = j.column3
    RETURNING task_id, idx, name, callable, epoch, attempts, max_attempts";

/// Steps as they are to be written: the state they are found in, and how many dependencies are done.
type ToStart<'r> = (&'r Runnable, StepState, i64);

/// Writes that steps run, and brings them with the results of their parents.
async fn start(
    unit: &mut Unit<'_>,
    request: &ClaimRequest,
    lease_until: i64,
    steps: &[ToStart<'_>],
) -> Result<(Vec<Taken>, Vec<ParentRow>), Fault> {
    let now = unit.now();
    // Before the results of parents are read.
    let mut before = Script::default();
    unit.completed_into(&mut before).await?;
    fetch_both(
        unit.conn,
        before,
        [TAKE, RESULTS_OF_PARENTS],
        7,
        steps,
        |binds, (step, state, done)| {
            binds
                .bind(step.task_id)?
                .bind(step.index)?
                .bind(state.as_str())?
                .bind(request.process.as_bytes().as_slice())?
                .bind(lease_until)?
                .bind(now)?
                .bind(*done)
        },
        |binds, (step, ..)| binds.bind(step.task_id)?.bind(step.index),
    )
    .await
}

async fn take(
    unit: &mut Unit<'_>,
    request: &ClaimRequest,
    runnable: &[Runnable],
) -> Result<Vec<ClaimedStep>, Fault> {
    let lease_until = unit.now() + settle::millis(request.lease);
    let mut stored = Vec::with_capacity(runnable.len());
    let mut taken = Vec::with_capacity(runnable.len());
    for step in runnable {
        match step.as_written {
            AsWritten::Stored(state) => stored.push((step, state, 0)),
            AsWritten::Readied(done) => stored.push((step, StepState::Pending, done)),
            AsWritten::Fresh(place) => {
                let started = Started {
                    owner: request.process,
                    lease_until,
                };
                taken.push(unit.start_fresh(place, step.index, started)?);
            }
        }
    }
    let (found, results) = start(unit, request, lease_until, &stored).await?;
    if found.len() != stored.len() {
        return Err(Fault::Corrupt(format!(
            "{} of {} runnable steps were started",
            found.len(),
            stored.len()
        )));
    }
    taken.extend(found);
    let place: HashMap<(i64, i64), usize> = (0..)
        .zip(runnable)
        .map(|(place, step)| ((step.task_id, step.index), place))
        .collect();
    taken.sort_by_key(|taken| place.get(&(taken.task_id, taken.idx)).copied());

    let mut tasks = unit
        .load_tasks(&taken.iter().map(|taken| taken.task_id).collect())
        .await?;
    for step in runnable {
        if let Some(task) = tasks.get_mut(&step.task_id) {
            let from = match step.as_written {
                AsWritten::Stored(state) => state,
                AsWritten::Readied(_) | AsWritten::Fresh(_) => StepState::Ready,
            };
            settle::recount(&mut task.counts, from, StepState::Running);
            task.started_at.get_or_insert(unit.now());
        }
    }
    for task in tasks.values_mut() {
        unit.ledger
            .move_task(task, TaskState::Running, None, request.process);
    }
    unit.save_tasks(tasks.values());
    let mut parents = by_child(results);
    let mut steps = Vec::with_capacity(taken.len());
    for taken in taken {
        let task_id = taken.task_id;
        let results = parents.remove(&(task_id, taken.idx));
        let step = claimed_step(taken, &tasks, results.unwrap_or_default())?;
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

/// Of each step, the results of its parents in template order.
fn by_child(found: Vec<ParentRow>) -> HashMap<(i64, i64), Vec<ParentResult>> {
    let mut parents: HashMap<_, Vec<_>> = HashMap::new();
    for (task_id, child, name, result) in found {
        let results = parents.entry((task_id, child)).or_default();
        results.push(ParentResult {
            name,
            result_json: result.unwrap_or_else(|| "null".to_owned()),
        });
    }
    parents
}

fn claimed_step(
    taken: Taken,
    tasks: &Tasks,
    parents: Vec<ParentResult>,
) -> Result<ClaimedStep, Fault> {
    let task = tasks
        .get(&taken.task_id)
        .ok_or_else(|| Fault::Corrupt(format!("step {} has no task", taken.name)))?;
    Ok(ClaimedStep {
        id: StepId {
            task_uuid: task.uuid,
            index: number(taken.idx)?,
        },
        name: taken.name,
        callable: taken.callable,
        epoch: number(taken.epoch)?,
        attempt: number(taken.attempts)?,
        max_attempts: number(taken.max_attempts)?,
        correlation_id: task.correlation_id,
        parents,
    })
}
