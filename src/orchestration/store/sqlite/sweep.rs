//! Taking back what time and dead processes left behind.

use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::block;
use super::fault::Fault;
use super::unit::{Unit, hex, json, uuid};
use crate::orchestration::state::StepState;
use crate::orchestration::store::sql::ledger::HistoryRow;
use crate::orchestration::store::sql::{from_row, number};
use crate::orchestration::store::{HistoryKind, StepId, SweepReport, SweepRequest, settle};

from_row! {
    struct Lost(SqliteRow) {
        task_id: i64,
        idx: i64,
        task_uuid: Vec<u8>,
        owner: Option<Vec<u8>>,
        attempts: i64,
        epoch: i64,
        times: i64,
    }
}

pub(super) async fn sweep(
    unit: &mut Unit<'_>,
    request: &SweepRequest,
) -> Result<SweepReport, Fault> {
    let mut report = SweepReport::default();
    take_back(unit, request, &mut report).await?;
    block::block_and_unblock(unit, request, &mut report).await?;
    forget_silent(unit, request).await?;
    Ok(report)
}

/// Forgets processes that have been silent for long and hold nothing.
async fn forget_silent(unit: &mut Unit<'_>, request: &SweepRequest) -> Result<(), Fault> {
    sqlx::query(
        "DELETE FROM postroom_processes WHERE heard_at <= ?1 AND NOT EXISTS (
            SELECT 1 FROM postroom_steps s INDEXED BY postroom_steps_running
            WHERE s.state = 'running' AND s.owner = postroom_processes.process)",
    )
    .bind(unit.now() - settle::millis(request.process_ttl * settle::FORGET_AFTER))
    .execute(&mut *unit.conn)
    .await?;
    Ok(())
}

async fn take_back(
    unit: &mut Unit<'_>,
    request: &SweepRequest,
    report: &mut SweepReport,
) -> Result<(), Fault> {
    let dead: Vec<String> = request
        .dead
        .iter()
        .map(|process| hex(process.as_bytes()))
        .collect();
    // Only what is running is looked through.
    let lost: Vec<Lost> = sqlx::query_as(
        "SELECT s.task_id, s.idx, t.uuid AS task_uuid, s.owner, s.attempts, s.epoch, s.lost_leases AS times
         FROM postroom_steps s INDEXED BY postroom_steps_running
         CROSS JOIN postroom_tasks t ON t.id = s.task_id
         WHERE s.state = 'running'
            AND (s.lease_until <= ?1 OR s.owner IN (SELECT unhex(value) FROM json_each(?2)))
         ORDER BY s.task_id, s.idx LIMIT ?3 + 0",
    )
    .bind(unit.now())
    .bind(json(&dead)?)
    .bind(i64::from(request.limit))
    .fetch_all(&mut *unit.conn)
    .await?;
    if lost.is_empty() {
        return Ok(());
    }
    let ids = lost.iter().map(|lost| lost.task_id).collect();
    let mut tasks = unit.load_tasks(&ids).await?;
    let mut rows = Vec::with_capacity(lost.len());
    for step in lost {
        let id = StepId {
            task_uuid: uuid(&step.task_uuid)?,
            index: number(step.idx)?,
        };
        let lost_leases: u32 = number(step.times + 1)?;
        let (to, error) = if lost_leases > request.max_lost_leases {
            report.failed.push(id);
            (
                StepState::Failed,
                Some(settle::lease_lost_text(lost_leases)),
            )
        } else {
            report.rescued.push(id);
            (StepState::Ready, None)
        };
        if let Some(task) = tasks.get_mut(&step.task_id) {
            settle::recount(&mut task.counts, StepState::Running, to);
            unit.ledger.note(HistoryRow {
                task_id: step.task_id,
                run: task.run,
                kind: HistoryKind::LeaseLost,
                step: Some(id.index),
                attempt: Some(number(step.attempts)?),
                epoch: Some(number(step.epoch)?),
                from: Some(StepState::Running.as_str()),
                to: Some(to.as_str()),
                process: request.process,
                detail: Some(settle::lost_by(owner(step.owner.as_deref())?)),
            });
        }
        rows.push((step.task_id, id.index, step.epoch, to, error));
    }
    sqlx::query(
        "UPDATE postroom_steps SET
            state = j.value ->> 3, error = coalesce(j.value ->> 4, error),
            attempts = max(attempts - 1, 0), lost_leases = lost_leases + 1, owner = NULL,
            lease_until = NULL, ended_at = ?2
         FROM json_each(?1) j
         WHERE postroom_steps.task_id = j.value ->> 0 AND postroom_steps.idx = j.value ->> 1
            AND postroom_steps.state = 'running' AND postroom_steps.epoch = j.value ->> 2",
    )
    .bind(json(&rows)?)
    .bind(unit.now())
    .execute(&mut *unit.conn)
    .await?;
    let ended = unit.settle(&mut tasks, |_| request.process).await?;
    unit.save_tasks(tasks.values());
    for (id, state) in ended {
        report
            .finalised
            .extend(tasks.get(&id).map(|task| (task.uuid, state)));
    }
    Ok(())
}

fn owner(stored: Option<&[u8]>) -> Result<Option<Uuid>, Fault> {
    stored.map(uuid).transpose()
}
