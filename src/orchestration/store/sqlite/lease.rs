//! Leases: renewed, and given back.

use std::collections::HashSet;
use std::time::Duration;

use uuid::Uuid;

use super::fault::Fault;
use super::unit::{Unit, json, uuid};
use crate::orchestration::state::StepState;
use crate::orchestration::store::sql::number;
use crate::orchestration::store::{Heartbeat, Lease, StepId, settle};

pub(super) async fn heartbeat(
    unit: &mut Unit<'_>,
    process: Uuid,
    lease: Duration,
) -> Result<Heartbeat, Fault> {
    let owner = process.as_bytes().as_slice();
    let known = sqlx::query("UPDATE postroom_processes SET heard_at = ?2 WHERE process = ?1")
        .bind(owner)
        .bind(unit.now())
        .execute(&mut *unit.conn)
        .await?;
    let held: Vec<(Vec<u8>, i64, i64, bool)> = sqlx::query_as(
        "SELECT t.uuid, s.idx, s.epoch, t.failure_policy = 'fail_fast' AND t.steps_failed > 0
         FROM postroom_steps s INDEXED BY postroom_steps_running
         CROSS JOIN postroom_tasks t ON t.id = s.task_id
         WHERE s.state = 'running' AND s.owner = ?1
         ORDER BY s.task_id, s.idx",
    )
    .bind(owner)
    .fetch_all(&mut *unit.conn)
    .await?;
    if !held.is_empty() {
        sqlx::query(
            "UPDATE postroom_steps INDEXED BY postroom_steps_running SET lease_until = ?2 WHERE state = 'running' AND owner = ?1",
        )
        .bind(owner)
        .bind(unit.now() + settle::millis(lease))
        .execute(&mut *unit.conn)
        .await?;
    }
    let mut heartbeat = Heartbeat {
        registered: known.rows_affected() > 0,
        ..Heartbeat::default()
    };
    for (task, index, epoch, stops) in held {
        let lease = Lease {
            id: StepId {
                task_uuid: uuid(&task)?,
                index: number(index)?,
            },
            epoch: number(epoch)?,
        };
        heartbeat.held.push(lease);
        if stops {
            heartbeat.stop.push(lease);
        }
    }
    Ok(heartbeat)
}

pub(super) async fn release(
    unit: &mut Unit<'_>,
    process: Uuid,
    leases: &[Lease],
) -> Result<u32, Fault> {
    if leases.is_empty() {
        return Ok(0);
    }
    let steps = unit.load_steps(leases.iter().map(|lease| lease.id)).await?;
    let held: HashSet<(i64, u32)> = steps
        .iter()
        .zip(leases)
        .filter_map(|(step, lease)| step.filter(|step| step.is_held(process, lease.epoch)))
        .map(|step| (step.task_id, step.index))
        .collect();
    give_back(unit, process, &held).await?;
    Ok(u32::try_from(held.len()).unwrap_or(u32::MAX))
}

/// Gives back every lease of a process.
pub(super) async fn release_all(unit: &mut Unit<'_>, process: Uuid) -> Result<(), Fault> {
    let held: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT task_id, idx FROM postroom_steps INDEXED BY postroom_steps_running
         WHERE state = 'running' AND owner = ?1",
    )
    .bind(process.as_bytes().as_slice())
    .fetch_all(&mut *unit.conn)
    .await?;
    let held = held
        .into_iter()
        .map(|(task_id, index)| Ok((task_id, number(index)?)));
    let held: HashSet<(i64, u32)> = held.collect::<Result<_, Fault>>()?;
    give_back(unit, process, &held).await
}

/// Makes steps that this process holds ready again; the attempts under way do not count.
async fn give_back(
    unit: &mut Unit<'_>,
    process: Uuid,
    held: &HashSet<(i64, u32)>,
) -> Result<(), Fault> {
    if held.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE postroom_steps SET
            state = 'ready', attempts = max(attempts - 1, 0), owner = NULL, lease_until = NULL,
            ended_at = ?3
         FROM json_each(?1) j
         WHERE postroom_steps.task_id = j.value ->> 0 AND postroom_steps.idx = j.value ->> 1
            AND postroom_steps.state = 'running' AND postroom_steps.owner = ?2",
    )
    .bind(json(held)?)
    .bind(process.as_bytes().as_slice())
    .bind(unit.now())
    .execute(&mut *unit.conn)
    .await?;
    let ids = held.iter().map(|(task_id, _)| *task_id).collect();
    let mut tasks = unit.load_tasks(&ids).await?;
    for (task_id, _) in held {
        if let Some(task) = tasks.get_mut(task_id) {
            settle::recount(&mut task.counts, StepState::Running, StepState::Ready);
        }
    }
    unit.settle(&mut tasks, |_| process).await?;
    unit.save_tasks(tasks.values());
    Ok(())
}
