//! Deleting what has ended long ago, one bounded batch at a time.

use super::fault::Fault;
use super::unit::{Unit, json};
use crate::orchestration::store::sql::number;
use crate::orchestration::store::{CleanupReport, CleanupRequest, settle};

pub(super) async fn cleanup(
    unit: &mut Unit<'_>,
    request: &CleanupRequest,
) -> Result<CleanupReport, Fault> {
    let after = request.after.map_or(Ok(0), i64::try_from);
    // The oldest come first by their number, so that no index has to be kept for this.
    let looked_at: Vec<(i64, Option<i64>)> = sqlx::query_as(
        "SELECT t.id, t.ended_at FROM postroom_tasks t WHERE t.id > ?1 ORDER BY t.id LIMIT ?2 + 0",
    )
    .bind(after.unwrap_or(i64::MAX))
    .bind(request.limit)
    .fetch_all(&mut *unit.conn)
    .await?;
    let before = unit.now() - settle::millis(request.older_than);
    let old: Vec<i64> = looked_at
        .iter()
        .filter(|(_, ended_at)| ended_at.is_some_and(|ended| ended <= before))
        .map(|(id, _)| *id)
        .collect();
    let report = CleanupReport {
        tasks: old.len() as u64,
        next: looked_at.last().map(|(id, _)| number(*id)).transpose()?,
    };
    if request.dry_run || old.is_empty() {
        return Ok(report);
    }
    sqlx::query(DELETE)
        .bind(json(&old)?)
        .execute(&mut *unit.conn)
        .await?;
    Ok(report)
}

/// What belongs to a task goes before it.
const DELETE: &str = "
    DELETE FROM postroom_history WHERE task_id IN (SELECT value FROM json_each(?1));
    DELETE FROM postroom_edges WHERE task_id IN (SELECT value FROM json_each(?1));
    DELETE FROM postroom_steps WHERE task_id IN (SELECT value FROM json_each(?1));
    DELETE FROM postroom_definitions WHERE task_id IN (SELECT value FROM json_each(?1));
    DELETE FROM postroom_tasks WHERE id IN (SELECT value FROM json_each(?1))";
