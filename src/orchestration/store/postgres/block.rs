//! Tasks that no live process can run: found by the handlers that are waited for and that nobody has.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::fault::Fault;
use super::unit::Unit;
use crate::orchestration::state::TaskState;
use crate::orchestration::store::sql::block::blocking;
use crate::orchestration::store::sql::from_row;
use crate::orchestration::store::sql::task_row::{TaskRow, Tasks};
use crate::orchestration::store::workers::{TaskPlace, Workers};
use crate::orchestration::store::{SweepReport, SweepRequest, TemplateSelector, settle};

/// The handlers that ready steps, or retries, wait for. Hops from one to the next along the index, so that the
/// number of steps does not matter.
const WAITED_FOR: &str = "
    WITH RECURSIVE
        ready (callable) AS (
            (SELECT callable FROM postroom.steps WHERE state = 'ready' ORDER BY callable LIMIT 1)
            UNION ALL
            SELECT (SELECT s.callable FROM postroom.steps s
                    WHERE s.state = 'ready' AND s.callable > ready.callable
                    ORDER BY s.callable LIMIT 1)
            FROM ready WHERE ready.callable IS NOT NULL),
        retry_wait (callable) AS (
            (SELECT callable FROM postroom.steps WHERE state = 'retry_wait'
             ORDER BY callable LIMIT 1)
            UNION ALL
            SELECT (SELECT s.callable FROM postroom.steps s
                    WHERE s.state = 'retry_wait' AND s.callable > retry_wait.callable
                    ORDER BY s.callable LIMIT 1)
            FROM retry_wait WHERE retry_wait.callable IS NOT NULL)
    SELECT callable FROM ready WHERE callable IS NOT NULL
    UNION
    SELECT callable FROM retry_wait WHERE callable IS NOT NULL";

/// Tasks, not yet blocked, with a runnable step of one of these handlers.
const CANDIDATES: &str = "
    SELECT t.uuid FROM unnest($1::text[]) AS c (callable)
    JOIN postroom.steps s ON s.state = 'ready' AND s.callable = c.callable
    JOIN postroom.tasks t ON t.id = s.task_id
    WHERE t.state IN ('pending', 'running', 'waiting')
    UNION
    SELECT t.uuid FROM unnest($1::text[]) AS c (callable)
    JOIN postroom.steps s
        ON s.state = 'retry_wait' AND s.callable = c.callable AND s.due_at <= $2
    JOIN postroom.tasks t ON t.id = s.task_id
    WHERE t.state IN ('pending', 'running', 'waiting')
    LIMIT $3";

/// A task as far as it matters whether it is blocked.
struct Candidate {
    uuid: Uuid,
    blocked: bool,
    reason: Option<String>,
    /// Whether a step of it runs.
    runs: bool,
    /// The handlers of the steps that could be run now.
    callables: BTreeSet<String>,
    namespace: String,
    name: String,
    version: String,
}

impl Candidate {
    /// Why it is blocked, if it is.
    fn blocking(&self, workers: &Workers) -> Option<String> {
        if self.runs {
            return None;
        }
        let place = TaskPlace {
            uuid: self.uuid,
            namespace: &self.namespace,
            name: &self.name,
            version: &self.version,
        };
        blocking(&place, &self.callables, workers)
    }

    /// Whether it is not what it should be.
    fn is_wrong(&self, workers: &Workers) -> bool {
        match self.blocking(workers) {
            Some(reason) => !self.blocked || self.reason.as_ref() != Some(&reason),
            None => self.blocked,
        }
    }
}

/// The tasks that become blocked, or are no longer, or for another reason.
pub(super) async fn tasks_of(
    unit: &mut Unit<'_>,
    request: &SweepRequest,
) -> Result<Vec<Uuid>, Fault> {
    let workers = live_workers(unit, request).await?;
    let mut uuids: Vec<(Uuid,)> = unit
        .query_as("SELECT uuid FROM postroom.tasks WHERE blocked")
        .fetch_all(&mut *unit.conn)
        .await?;
    let waited_for: Vec<(String,)> = unit.query_as(WAITED_FOR).fetch_all(&mut *unit.conn).await?;
    let missing: Vec<&str> = waited_for
        .iter()
        .map(|(callable,)| callable.as_str())
        .filter(|callable| !workers.run_anywhere(callable))
        .collect();
    if !missing.is_empty() {
        let found: Vec<(Uuid,)> = unit
            .query_as(CANDIDATES)
            .bind(missing)
            .bind(unit.now())
            .bind(i64::from(request.limit))
            .fetch_all(&mut *unit.conn)
            .await?;
        uuids.extend(found);
    }
    let uuids: Vec<Uuid> = uuids.into_iter().map(|(uuid,)| uuid).collect();
    let candidates = candidates(unit, &uuids).await?;
    Ok(candidates
        .into_values()
        .filter(|candidate| candidate.is_wrong(&workers))
        .map(|candidate| candidate.uuid)
        .collect())
}

/// Puts right those of the locked tasks that are not what they should be.
pub(super) async fn block_and_unblock(
    unit: &mut Unit<'_>,
    request: &SweepRequest,
    report: &mut SweepReport,
) -> Result<(), Fault> {
    unit.flush().await?;
    let workers = live_workers(unit, request).await?;
    let locked: Vec<Uuid> = unit
        .tasks
        .values()
        .filter(|task| task.state.is_claimable())
        .map(|task| task.uuid)
        .collect();
    let candidates = candidates(unit, &locked).await?;
    let mut changed = Tasks::new();
    let mut left = request.limit;
    for (id, candidate) in candidates {
        let Some(task) = unit.tasks.get(&id) else {
            continue;
        };
        if !candidate.is_wrong(&workers) {
            continue;
        }
        let mut task: TaskRow = task.clone();
        match candidate.blocking(&workers) {
            Some(reason) if candidate.blocked => task.reason = Some(reason),
            Some(reason) if left > 0 => {
                left -= 1;
                report.blocked.push(task.uuid);
                let blocked = TaskState::Blocked;
                unit.ledger
                    .move_task(&mut task, blocked, Some(reason), request.process);
            }
            Some(_) => continue,
            None => {
                let to = settle::unblocked(&task.counts);
                unit.ledger.move_task(&mut task, to, None, request.process);
                report.unblocked.push(task.uuid);
            }
        }
        changed.insert(id, task);
    }
    unit.save_tasks(changed);
    Ok(())
}

async fn live_workers(unit: &mut Unit<'_>, request: &SweepRequest) -> Result<Workers, Fault> {
    let processes: Vec<(Uuid, Vec<String>, Option<Uuid>, String)> = unit
        .query_as(
            "SELECT process, callables, only_task, serves FROM postroom.processes
             WHERE $1 - heard_at < $2",
        )
        .bind(unit.now())
        .bind(settle::millis(request.process_ttl))
        .fetch_all(&mut *unit.conn)
        .await?;
    let mut workers = Workers::default();
    for (process, callables, only_task, serves) in processes {
        if !request.dead.contains(&process) {
            let serves: Vec<TemplateSelector> = serde_json::from_str(&serves)?;
            workers.add(callables, only_task, &serves);
        }
    }
    Ok(workers)
}

from_row! {
    /// A candidate as it is read.
    struct Found(PgRow) {
        id: i64,
        uuid: Uuid,
        state: String,
        reason: Option<String>,
        namespace: String,
        name: String,
        version: String,
        runs: bool,
        callables: Option<Vec<String>>,
    }
}

async fn candidates(
    unit: &mut Unit<'_>,
    uuids: &[Uuid],
) -> Result<BTreeMap<i64, Candidate>, Fault> {
    if uuids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found: Vec<Found> = unit
        .query_as(
            "SELECT t.id, t.uuid, t.state, t.reason, t.namespace, t.name, t.version, s.runs,
                    s.callables
             FROM postroom.tasks t CROSS JOIN LATERAL (
                 SELECT coalesce(bool_or(s.state = 'running'), false) AS runs,
                        array_agg(DISTINCT s.callable) FILTER (WHERE s.state <> 'running') AS callables
                 FROM postroom.steps s
                 WHERE s.task_id = t.id AND (s.state IN ('ready', 'running')
                    OR (s.state = 'retry_wait' AND s.due_at <= $2))) s
             WHERE t.uuid = ANY($1)",
        )
        .bind(uuids)
        .bind(unit.now())
        .fetch_all(&mut *unit.conn)
        .await?;
    let candidates = found.into_iter().map(|found| {
        let state: TaskState = found.state.parse()?;
        let candidate = Candidate {
            uuid: found.uuid,
            blocked: state == TaskState::Blocked,
            reason: found.reason,
            runs: found.runs,
            callables: found.callables.into_iter().flatten().collect(),
            namespace: found.namespace,
            name: found.name,
            version: found.version,
        };
        Ok((found.id, candidate))
    });
    candidates.collect()
}
