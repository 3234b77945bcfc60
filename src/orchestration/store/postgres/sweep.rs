//! Taking back what time and dead processes left behind.

use std::collections::BTreeSet;

use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::block;
use super::fault::Fault;
use super::unit::Unit;
use crate::orchestration::state::StepState;
use crate::orchestration::store::sql::ledger::HistoryRow;
use crate::orchestration::store::sql::{from_row, number};
use crate::orchestration::store::{HistoryKind, StepId, SweepReport, SweepRequest, settle};

from_row! {
    struct Lost(PgRow) {
        task_id: i64,
        idx: i32,
        uuid: Uuid,
        owner: Option<Uuid>,
        attempts: i32,
        epoch: i64,
        times: i32,
    }
}

/// Steps that run and whose lease has run out, or whose process is dead. Only what is running is looked
/// through.
macro_rules! lost {
    ($select:literal, $end:literal) => {
        concat!(
            "SELECT ",
            $select,
            " FROM postroom.steps s JOIN postroom.tasks t ON t.id = s.task_id
              WHERE s.state = 'running' AND (s.lease_until <= $1 OR s.owner = ANY($2))",
            $end
        )
    };
}

/// The tasks that a sweep would change, so that they can be locked before it begins.
pub(super) async fn tasks_of(
    unit: &mut Unit<'_>,
    request: &SweepRequest,
) -> Result<BTreeSet<Uuid>, Fault> {
    let lost: Vec<(Uuid,)> = unit
        .query_as(lost!("t.uuid", " ORDER BY s.task_id, s.idx LIMIT $3"))
        .bind(unit.now())
        .bind(&request.dead)
        .bind(i64::from(request.limit))
        .fetch_all(&mut *unit.conn)
        .await?;
    let mut tasks: BTreeSet<Uuid> = lost.into_iter().map(|(uuid,)| uuid).collect();
    tasks.extend(block::tasks_of(unit, request).await?);
    Ok(tasks)
}

pub(super) async fn sweep(
    unit: &mut Unit<'_>,
    request: &SweepRequest,
) -> Result<SweepReport, Fault> {
    let mut report = SweepReport::default();
    if !unit.tasks.is_empty() {
        take_back(unit, request, &mut report).await?;
        block::block_and_unblock(unit, request, &mut report).await?;
    }
    forget_silent(unit, request).await?;
    Ok(report)
}

/// Forgets processes that have been silent for long and hold nothing.
async fn forget_silent(unit: &mut Unit<'_>, request: &SweepRequest) -> Result<(), Fault> {
    let forgotten = unit
        .query(
            "DELETE FROM postroom.processes WHERE process IN (
                SELECT p.process FROM postroom.processes p
                WHERE p.heard_at <= $1 AND NOT EXISTS (
                    SELECT 1 FROM postroom.steps s WHERE s.state = 'running' AND s.owner = p.process)
                FOR UPDATE SKIP LOCKED)",
        )
        .bind(unit.now() - settle::millis(request.process_ttl * settle::FORGET_AFTER))
        .execute(&mut *unit.conn)
        .await?;
    if forgotten.rows_affected() > 0 {
        unit.wrote();
    }
    Ok(())
}

async fn take_back(
    unit: &mut Unit<'_>,
    request: &SweepRequest,
    report: &mut SweepReport,
) -> Result<(), Fault> {
    unit.flush().await?;
    let locked: Vec<i64> = unit.tasks.keys().copied().collect();
    // A lease that is being renewed at this moment is left alone.
    let lost: Vec<Lost> = unit
        .query_as(lost!(
            "s.task_id, s.idx, t.uuid, s.owner, s.attempts, s.epoch, s.lost_leases AS times",
            " AND s.task_id = ANY($4) ORDER BY s.task_id, s.idx LIMIT $3
              FOR UPDATE OF s SKIP LOCKED"
        ))
        .bind(unit.now())
        .bind(&request.dead)
        .bind(i64::from(request.limit))
        .bind(locked)
        .fetch_all(&mut *unit.conn)
        .await?;
    if lost.is_empty() {
        return Ok(());
    }
    let ids = lost.iter().map(|lost| lost.task_id).collect();
    let mut tasks = unit.load_tasks(&ids).await?;
    let (mut task_ids, mut indexes, mut states, mut errors) = (vec![], vec![], vec![], vec![]);
    for step in lost {
        let id = StepId {
            task_uuid: step.uuid,
            index: number(i64::from(step.idx))?,
        };
        let lost_leases: u32 = number(i64::from(step.times) + 1)?;
        let (to, error) = if lost_leases > request.max_lost_leases {
            report.failed.push(id);
            (
                StepState::Failed,
                Some(settle::lease_lost_text(lost_leases)),
            )
        } else {
            report.rescued.push(id);
            unit.made_work = true;
            (StepState::Ready, None)
        };
        if let Some(task) = tasks.get_mut(&step.task_id) {
            settle::recount(&mut task.counts, StepState::Running, to);
            unit.ledger.note(HistoryRow {
                task_id: step.task_id,
                run: task.run,
                kind: HistoryKind::LeaseLost,
                step: Some(id.index),
                attempt: Some(number(i64::from(step.attempts))?),
                epoch: Some(number(step.epoch)?),
                from: Some(StepState::Running.as_str()),
                to: Some(to.as_str()),
                process: request.process,
                detail: Some(settle::lost_by(step.owner)),
            });
        }
        task_ids.push(step.task_id);
        indexes.push(i64::from(id.index));
        states.push(to.as_str());
        errors.push(error);
    }
    unit.query(
        "UPDATE postroom.steps s SET
            state = n.state, error = coalesce(n.error, s.error),
            attempts = greatest(s.attempts - 1, 0), lost_leases = s.lost_leases + 1, owner = NULL,
            lease_until = NULL, ended_at = $5
         FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])
            AS n (task_id, idx, state, error)
         WHERE s.task_id = n.task_id AND s.idx = n.idx",
    )
    .bind(task_ids)
    .bind(indexes)
    .bind(states)
    .bind(errors)
    .bind(unit.now())
    .execute(&mut *unit.conn)
    .await?;
    unit.wrote();
    let ended = unit.settle(&mut tasks, |_| request.process).await?;
    for (id, state) in ended {
        report
            .finalised
            .extend(tasks.get(&id).map(|task| (task.uuid, state)));
    }
    unit.save_tasks(tasks);
    Ok(())
}
