//! Leases: renewed, and given back.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::connect::clock;
use super::fault::Fault;
use super::lowest::Lowest;
use super::step_row;
use super::unit::{Learned, Unit};
use crate::orchestration::state::StepState;
use crate::orchestration::store::sql::number;
use crate::orchestration::store::{Heartbeat, Lease, StepId, settle};

/// Whether the process is known; and of each step that it holds, the task's number and id, position, epoch, whether it
/// is to stop.
type Held = (
    bool,
    Option<i64>,
    Option<Uuid>,
    Option<i32>,
    Option<i64>,
    Option<bool>,
);

/// In a transaction with others.
pub(super) async fn heartbeat(
    unit: &mut Unit<'_>,
    process: Uuid,
    lease: Duration,
) -> Result<Heartbeat, Fault> {
    let (now, named) = (Some(unit.now()), unit.named());
    let renewal = renew(unit.conn, named, unit.lowest, now, process, lease).await?;
    unit.learned.extend(renewal.learned);
    unit.wrote();
    Ok(renewal.heartbeat)
}

/// What came of a heartbeat.
pub(super) struct Renewal {
    pub(super) heartbeat: Heartbeat,
    pub(super) learned: Option<Learned>,
}

const RENEW: &str = concat!(
    "WITH moment AS MATERIALIZED (SELECT coalesce($2, ",
    clock!(),
    ") AS now),
    heard AS (
        UPDATE postroom.processes SET heard_at = (SELECT now FROM moment) WHERE process = $1 RETURNING 1),
    held AS MATERIALIZED (
        SELECT t.uuid, s.task_id, s.idx, s.epoch,
               t.failure_policy = 'fail_fast' AND t.steps_failed > 0 AS stops
        FROM postroom.steps s JOIN postroom.tasks t ON t.id = s.task_id
        WHERE s.state = 'running' AND s.owner = $1 AND s.task_id >= $4),
    free AS MATERIALIZED (
        SELECT s.task_id, s.idx FROM postroom.steps s
        WHERE s.state = 'running' AND s.owner = $1 AND s.task_id >= $4
        ORDER BY s.task_id, s.idx FOR NO KEY UPDATE SKIP LOCKED),
    renewed AS (
        UPDATE postroom.steps s SET lease_until = (SELECT now FROM moment) + $3 FROM free f
        WHERE s.task_id = f.task_id AND s.idx = f.idx)
    SELECT heard.known, held.task_id, held.uuid, held.idx, held.epoch, held.stops
    FROM (SELECT EXISTS (SELECT 1 FROM heard) AS known) heard
    LEFT JOIN held ON true ORDER BY held.task_id, held.idx"
);

/// One statement, which may be repeated: so it needs no transaction around it. `now` is the server's time if it is not
/// given. A step that somebody takes back at this moment is not waited for: it is named once more, and lost.
pub(super) async fn renew(
    conn: &mut PgConnection,
    named: bool,
    lowest: Option<&Lowest>,
    now: Option<i64>,
    process: Uuid,
    lease: Duration,
) -> Result<Renewal, Fault> {
    let look = lowest.map(|lowest| lowest.look(process));
    let held: Vec<Held> = sqlx::query_as(RENEW)
        .persistent(named)
        .bind(process)
        .bind(now)
        .bind(settle::millis(lease))
        .bind(look.map_or(0, |look| look.from))
        .fetch_all(conn)
        .await?;
    let learned = look.map(|look| {
        let first = held.iter().filter_map(|held| held.1).min();
        Learned::Held(process, look, first)
    });
    let mut heartbeat = Heartbeat {
        registered: held.first().is_some_and(|(known, ..)| *known),
        ..Heartbeat::default()
    };
    for (_, _, task_uuid, index, epoch, stops) in held {
        let (Some(task_uuid), Some(index), Some(epoch)) = (task_uuid, index, epoch) else {
            continue;
        };
        let lease = Lease {
            id: StepId {
                task_uuid,
                index: number(i64::from(index))?,
            },
            epoch: number(epoch)?,
        };
        heartbeat.held.push(lease);
        if stops == Some(true) {
            heartbeat.stop.push(lease);
        }
    }
    Ok(Renewal { heartbeat, learned })
}

pub(super) async fn release(
    unit: &mut Unit<'_>,
    process: Uuid,
    leases: &[Lease],
) -> Result<u32, Fault> {
    if leases.is_empty() {
        return Ok(0);
    }
    let steps = step_row::load_steps(unit, leases.iter().map(|lease| lease.id)).await?;
    let held: HashSet<(i64, i64)> = steps
        .iter()
        .zip(leases)
        .filter_map(|(found, lease)| Some((found.as_ref()?.step, lease)))
        .filter(|(step, lease)| step.is_held(process, lease.epoch))
        .map(|(step, _)| (step.task_id, i64::from(step.index)))
        .collect();
    let released = u32::try_from(held.len()).unwrap_or(u32::MAX);
    give_back(unit, process, held).await?;
    Ok(released)
}

/// The tasks of the steps that a process holds.
pub(super) async fn tasks_of(unit: &mut Unit<'_>, process: Uuid) -> Result<Vec<Uuid>, Fault> {
    let found: Vec<(Uuid,)> = unit
        .query_as(
            "SELECT DISTINCT t.uuid FROM postroom.steps s JOIN postroom.tasks t ON t.id = s.task_id
             WHERE s.state = 'running' AND s.owner = $1",
        )
        .bind(process)
        .fetch_all(&mut *unit.conn)
        .await?;
    Ok(found.into_iter().map(|(uuid,)| uuid).collect())
}

/// Gives back every lease of a process, on the tasks that this transaction has locked.
pub(super) async fn release_all(unit: &mut Unit<'_>, process: Uuid) -> Result<(), Fault> {
    let locked: Vec<i64> = unit.tasks.keys().copied().collect();
    let held: Vec<(i64, i32)> = unit
        .query_as(
            "SELECT task_id, idx FROM postroom.steps
             WHERE state = 'running' AND owner = $1 AND task_id = ANY($2)",
        )
        .bind(process)
        .bind(locked)
        .fetch_all(&mut *unit.conn)
        .await?;
    let held = held
        .into_iter()
        .map(|(task_id, index)| (task_id, i64::from(index)))
        .collect();
    give_back(unit, process, held).await
}

/// Makes steps that this process holds ready again; the attempts under way do not count.
async fn give_back(
    unit: &mut Unit<'_>,
    process: Uuid,
    held: HashSet<(i64, i64)>,
) -> Result<(), Fault> {
    if held.is_empty() {
        return Ok(());
    }
    let mut many: BTreeMap<i64, u32> = BTreeMap::new();
    for (task_id, _) in &held {
        *many.entry(*task_id).or_default() += 1;
    }
    let (task_ids, indexes): (Vec<i64>, Vec<i64>) = held.into_iter().unzip();
    unit.query(
        "UPDATE postroom.steps s SET
            state = 'ready', attempts = greatest(s.attempts - 1, 0), owner = NULL,
            lease_until = NULL, ended_at = $4
         FROM unnest($1::bigint[], $2::bigint[]) AS n (task_id, idx)
         WHERE s.task_id = n.task_id AND s.idx = n.idx AND s.state = 'running' AND s.owner = $3",
    )
    .bind(task_ids)
    .bind(indexes)
    .bind(process)
    .bind(unit.now())
    .execute(&mut *unit.conn)
    .await?;
    unit.wrote();
    unit.made_work = true;
    let mut tasks = unit.load_tasks(&many.keys().copied().collect()).await?;
    for (task_id, many) in many {
        for _ in 0..many {
            if let Some(task) = tasks.get_mut(&task_id) {
                settle::recount(&mut task.counts, StepState::Running, StepState::Ready);
            }
        }
    }
    unit.settle(&mut tasks, |_| process).await?;
    unit.save_tasks(tasks);
    Ok(())
}
