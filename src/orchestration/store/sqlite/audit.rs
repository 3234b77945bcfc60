//! Reads everything at one moment and holds it against itself.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};

use super::fault::Fault;
use super::read::{step_record, task_record};
use crate::orchestration::state::StepCounts;
use crate::orchestration::store::audit::{Audited, audit};
use crate::orchestration::store::sql::number;
use crate::orchestration::store::{StepRecord, TaskRecord};

/// How many tasks are held in memory at a time.
const PAGE: i64 = 200;

pub(super) async fn check(pool: &SqlitePool) -> Result<Vec<String>, Fault> {
    // A transaction that only reads sees one moment, and holds up nobody.
    let mut snapshot = pool.begin().await?;
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
    conn: &mut SqliteConnection,
    last: i64,
    found: &mut Vec<String>,
) -> Result<Option<i64>, Fault> {
    let tasks = sqlx::query(
        "SELECT t.*, (SELECT count(*) FROM postroom_history h
                      WHERE h.task_id = t.id AND h.kind = 'task_state' AND h.run = t.run
                        AND h.to_state IN ('complete', 'failed', 'cancelled', 'resolved_manually')
                        AND h.from_state NOT IN ('complete', 'failed', 'cancelled', 'resolved_manually')) AS ends
         FROM postroom_tasks t WHERE t.id > ?1 ORDER BY t.id LIMIT ?2 + 0",
    )
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
                s.error, CASE WHEN s.result IS NULL THEN NULL ELSE '' END AS result,
                (SELECT json_group_array(e.parent ORDER BY e.parent) FROM postroom_edges e
                 WHERE e.task_id = s.task_id AND e.child = s.idx) AS parent_list
         FROM postroom_steps s WHERE s.task_id > ?1 AND s.task_id <= ?2 ORDER BY s.task_id, s.idx",
    )
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
    row: &SqliteRow,
    task: &TaskRecord,
    steps: &[StepRecord],
    found: &mut Vec<String>,
) -> Result<(), Fault> {
    let counts = StepCounts {
        pending: number(row.try_get("steps_pending")?)?,
        ready: number(row.try_get("steps_ready")?)?,
        running: number(row.try_get("steps_running")?)?,
        retry_wait: number(row.try_get("steps_retry_wait")?)?,
        satisfied: number(row.try_get("steps_satisfied")?)?,
        failed: number(row.try_get("steps_failed")?)?,
        cancelled: number(row.try_get("steps_cancelled")?)?,
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
