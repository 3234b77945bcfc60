//! Tasks that no live process can run: found by the handlers that are waited for and that nobody has.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Fault;
use super::unit::{Unit, json, uuid};
use crate::orchestration::state::TaskState;
use crate::orchestration::store::sql::block;
use crate::orchestration::store::sql::task_row::{TaskRow, Tasks};
use crate::orchestration::store::workers::{TaskPlace, Workers};
use crate::orchestration::store::{SweepReport, SweepRequest, TemplateSelector, settle};

/// The handlers that ready steps, or retries that are due, wait for. Hops from one to the next along the
/// index, so that the number of steps does not matter.
const WAITED_FOR: &str = "
    WITH RECURSIVE
        ready (callable) AS (
            SELECT min(callable) FROM postroom_steps WHERE state = 'ready'
            UNION ALL
            SELECT (SELECT min(s.callable) FROM postroom_steps s
                    WHERE s.state = 'ready' AND s.callable > ready.callable)
            FROM ready WHERE ready.callable IS NOT NULL),
        retry_wait (callable) AS (
            SELECT min(callable) FROM postroom_steps WHERE state = 'retry_wait'
            UNION ALL
            SELECT (SELECT min(s.callable) FROM postroom_steps s
                    WHERE s.state = 'retry_wait' AND s.callable > retry_wait.callable)
            FROM retry_wait WHERE retry_wait.callable IS NOT NULL)
    SELECT callable FROM ready WHERE callable IS NOT NULL
    UNION
    SELECT callable FROM retry_wait WHERE callable IS NOT NULL";

/// Tasks, not yet blocked, with a runnable step of one of these handlers and nothing running.
const CANDIDATES: &str = "
    SELECT DISTINCT t.id FROM json_each(?1) c
    CROSS JOIN postroom_steps s ON s.state = 'ready' AND s.callable = c.value
    CROSS JOIN postroom_tasks t ON t.id = s.task_id
    WHERE t.steps_running = 0 AND t.state IN ('pending', 'running', 'waiting')
    UNION
    SELECT DISTINCT t.id FROM json_each(?1) c
    CROSS JOIN postroom_steps s
        ON s.state = 'retry_wait' AND s.callable = c.value AND s.due_at <= ?2
    CROSS JOIN postroom_tasks t ON t.id = s.task_id
    WHERE t.steps_running = 0 AND t.state IN ('pending', 'running', 'waiting')";

pub(super) async fn block_and_unblock(
    unit: &mut Unit<'_>,
    request: &SweepRequest,
    report: &mut SweepReport,
) -> Result<(), Fault> {
    unit.flush().await?;
    let workers = live_workers(unit, request).await?;
    let mut tasks = blocked_tasks(unit).await?;
    let mut runnable = runnable_steps(unit, &tasks).await?;
    let mut changed = Tasks::new();
    for (id, task) in &mut tasks {
        let steps = runnable.remove(id).unwrap_or_default();
        match blocking(task, &steps, &workers) {
            Some(reason) if task.reason.as_ref() == Some(&reason) => continue,
            Some(reason) => task.reason = Some(reason),
            None => {
                let to = settle::unblocked(&task.counts);
                unit.ledger.move_task(task, to, None, request.process);
                report.unblocked.push(task.uuid);
            }
        }
        changed.insert(*id, task.clone());
    }

    let mut candidates = candidates(unit, &workers).await?;
    let mut runnable = runnable_steps(unit, &candidates).await?;
    let mut left = request.limit;
    for (id, task) in &mut candidates {
        let steps = runnable.remove(id).unwrap_or_default();
        if left > 0
            && let Some(reason) = blocking(task, &steps, &workers)
        {
            unit.ledger
                .move_task(task, TaskState::Blocked, Some(reason), request.process);
            report.blocked.push(task.uuid);
            changed.insert(*id, task.clone());
            left -= 1;
        }
    }
    unit.save_tasks(changed.values());
    Ok(())
}

/// Id, handlers, the task that it serves alone, the templates that it serves.
type Process = (Vec<u8>, String, Option<Vec<u8>>, String);

async fn live_workers(unit: &mut Unit<'_>, request: &SweepRequest) -> Result<Workers, Fault> {
    let processes: Vec<Process> = sqlx::query_as(
        "SELECT process, callables, only_task, serves FROM postroom_processes WHERE ?1 - heard_at < ?2",
    )
    .bind(unit.now())
    .bind(settle::millis(request.process_ttl))
    .fetch_all(&mut *unit.conn)
    .await?;
    let mut workers = Workers::default();
    for (process, callables, only_task, serves) in processes {
        if !request.dead.contains(&uuid(&process)?) {
            let callables: Vec<String> = serde_json::from_str(&callables)?;
            let serves: Vec<TemplateSelector> = serde_json::from_str(&serves)?;
            let only_task = only_task.as_deref().map(uuid).transpose()?;
            workers.add(callables, only_task, &serves);
        }
    }
    Ok(workers)
}

async fn blocked_tasks(unit: &mut Unit<'_>) -> Result<Tasks, Fault> {
    let blocked: Vec<(i64,)> =
        sqlx::query_as("SELECT id FROM postroom_tasks WHERE state = 'blocked'")
            .fetch_all(&mut *unit.conn)
            .await?;
    unit.load_tasks(&blocked.into_iter().map(|(id,)| id).collect())
        .await
}

/// Tasks that wait for a handler that nobody runs for all tasks.
async fn candidates(unit: &mut Unit<'_>, workers: &Workers) -> Result<Tasks, Fault> {
    let waited_for: Vec<(String,)> = sqlx::query_as(WAITED_FOR)
        .fetch_all(&mut *unit.conn)
        .await?;
    let missing: Vec<&str> = waited_for
        .iter()
        .map(|(callable,)| callable.as_str())
        .filter(|callable| !workers.run_anywhere(callable))
        .collect();
    if missing.is_empty() {
        return Ok(Tasks::new());
    }
    let found: Vec<(i64,)> = sqlx::query_as(CANDIDATES)
        .bind(json(&missing)?)
        .bind(unit.now())
        .fetch_all(&mut *unit.conn)
        .await?;
    unit.load_tasks(&found.into_iter().map(|(id,)| id).collect())
        .await
}

/// Of each task, the handlers of the steps that could be run now.
async fn runnable_steps(
    unit: &mut Unit<'_>,
    tasks: &Tasks,
) -> Result<BTreeMap<i64, Runnable>, Fault> {
    if tasks.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<i64> = tasks.keys().copied().collect();
    let found: Vec<(i64, String, String, String, String)> = sqlx::query_as(
        "SELECT DISTINCT s.task_id, s.callable, t.namespace, t.name, t.version
         FROM json_each(?1) j CROSS JOIN postroom_steps s ON s.task_id = j.value
         CROSS JOIN postroom_tasks t ON t.id = s.task_id
         WHERE s.state = 'ready' OR (s.state = 'retry_wait' AND s.due_at <= ?2)",
    )
    .bind(json(&ids)?)
    .bind(unit.now())
    .fetch_all(&mut *unit.conn)
    .await?;
    let mut runnable: BTreeMap<i64, Runnable> = BTreeMap::new();
    for (task, callable, namespace, name, version) in found {
        let runnable = runnable.entry(task).or_insert_with(|| Runnable {
            callables: BTreeSet::new(),
            namespace,
            name,
            version,
        });
        runnable.callables.insert(callable);
    }
    Ok(runnable)
}

/// What a task has to run, and what decides who serves it.
#[derive(Debug, Default)]
struct Runnable {
    callables: BTreeSet<String>,
    namespace: String,
    name: String,
    version: String,
}

/// Why a task is blocked, if it is.
fn blocking(task: &TaskRow, runnable: &Runnable, workers: &Workers) -> Option<String> {
    let place = TaskPlace {
        uuid: task.uuid,
        namespace: &runnable.namespace,
        name: &runnable.name,
        version: &runnable.version,
    };
    let idle = task.counts.running == 0;
    idle.then(|| block::blocking(&place, &runnable.callables, workers))
        .flatten()
}
