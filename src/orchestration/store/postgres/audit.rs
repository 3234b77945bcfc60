//! Reads everything at one moment and holds it against itself.

use sqlx::postgres::PgRow;
use sqlx::{Executor, PgConnection, Row};

use super::connect::Place;
use super::fault::Fault;
use super::read::{small, step_record, task_record};
use crate::orchestration::state::StepCounts;
use crate::orchestration::store::audit::{Audited, audit};
use crate::orchestration::store::sql::number;
use crate::orchestration::store::{StepRecord, TaskRecord};

/// How many tasks are held in memory at a time.
const PAGE: i64 = 200;

pub(super) async fn check(place: &Place) -> Result<Vec<String>, Fault> {
    // A transaction that only reads sees one moment, and holds up nobody.
    let mut snapshot = place.pool.begin().await?;
    snapshot
        .execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .await?;
    let mut found = Vec::new();
    let mut last = 0;
    while let Some(end) = check_page(&mut snapshot, last, &mut found).await? {
        last = end;
    }
    snapshot.rollback().await?;
    Ok(found)
}

/// Checks the tasks after `last`; returns the last one checked, if there was any.
async fn check_page(
    conn: &mut PgConnection,
    last: i64,
    found: &mut Vec<String>,
) -> Result<Option<i64>, Fault> {
    let tasks = sqlx::query(
        "SELECT t.*, encode(t.content, 'hex') AS content_hex,
                (SELECT count(*) FROM postroom.history h
                 WHERE h.task_id = t.id AND h.kind = 'task_state' AND h.run = t.run
                    AND h.to_state IN ('complete', 'failed', 'cancelled', 'resolved_manually')
                    AND h.from_state NOT IN ('complete', 'failed', 'cancelled', 'resolved_manually'))
                    AS ends
         FROM postroom.tasks t WHERE t.id > $1 ORDER BY t.id LIMIT $2",
    )
    .persistent(false)
    .bind(last)
    .bind(PAGE)
    .fetch_all(&mut *conn)
    .await?;
    let Some(end) = tasks.last() else {
        return Ok(None);
    };
    let end: i64 = end.try_get("id")?;
    // The results stay where they are; only whether there is one matters.
    let rows = sqlx::query(
        "SELECT s.task_id, s.idx, s.name, s.callable, s.state, s.unmet, s.attempts, s.max_attempts,
                s.lost_leases, s.epoch, s.owner, s.lease_until, s.due_at, s.started_at, s.ended_at,
                s.error, s.parents, CASE WHEN s.result IS NULL THEN NULL ELSE '' END AS result
         FROM postroom.steps s WHERE s.task_id > $1 AND s.task_id <= $2 ORDER BY s.task_id, s.idx",
    )
    .persistent(false)
    .bind(last)
    .bind(end)
    .fetch_all(&mut *conn)
    .await?;
    let mut steps: Vec<(i64, StepRecord)> = Vec::with_capacity(rows.len());
    for row in &rows {
        steps.push((row.try_get("task_id")?, step_record(row)?));
    }
    let mut rest = steps.into_iter().peekable();
    for row in &tasks {
        let id: i64 = row.try_get("id")?;
        let mut own = Vec::new();
        while let Some((_, step)) = rest.next_if(|(task_id, _)| *task_id == id) {
            own.push(step);
        }
        check_task(row, &task_record(row)?, &own, found)?;
    }
    Ok(Some(end))
}

fn check_task(
    row: &PgRow,
    task: &TaskRecord,
    steps: &[StepRecord],
    found: &mut Vec<String>,
) -> Result<(), Fault> {
    let active = small(row, "steps_active")?;
    // One counter is kept for both; shown as they are if the sum is right.
    let recounted: StepCounts = steps.iter().map(|step| step.state).collect();
    let (ready, running) = if recounted.ready + recounted.running == active {
        (recounted.ready, recounted.running)
    } else {
        (0, active)
    };
    let counts = StepCounts {
        pending: small(row, "steps_pending")?,
        ready,
        running,
        retry_wait: small(row, "steps_retry_wait")?,
        satisfied: small(row, "steps_satisfied")?,
        failed: small(row, "steps_failed")?,
        cancelled: small(row, "steps_cancelled")?,
    };
    let audited = Audited {
        task,
        counts,
        steps,
        ends: number(row.try_get("ends")?)?,
    };
    audit(&audited, found);
    Ok(())
}
