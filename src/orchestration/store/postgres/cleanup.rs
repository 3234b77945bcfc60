//! Deleting what has ended long ago, one bounded batch at a time.

use uuid::Uuid;

use super::fault::Fault;
use super::unit::Unit;
use crate::orchestration::store::sql::number;
use crate::orchestration::store::{CleanupReport, CleanupRequest, settle};

/// A task that is looked at.
struct Looked {
    id: i64,
    uuid: Uuid,
    /// Whether it has ended long ago.
    old: bool,
}

/// The tasks that will be deleted, so that they can be locked before.
pub(super) async fn tasks_of(
    unit: &mut Unit<'_>,
    request: &CleanupRequest,
) -> Result<Vec<Uuid>, Fault> {
    if request.dry_run {
        return Ok(Vec::new());
    }
    let looked_at = look(unit, request).await?;
    let old = looked_at.into_iter().filter(|task| task.old);
    Ok(old.map(|task| task.uuid).collect())
}

pub(super) async fn cleanup(
    unit: &mut Unit<'_>,
    request: &CleanupRequest,
) -> Result<CleanupReport, Fault> {
    let looked_at = look(unit, request).await?;
    let old: Vec<i64> = looked_at
        .iter()
        .filter(|task| task.old && (request.dry_run || unit.tasks.contains_key(&task.id)))
        .map(|task| task.id)
        .collect();
    let report = CleanupReport {
        tasks: old.len() as u64,
        next: looked_at.last().map(|task| number(task.id)).transpose()?,
    };
    if request.dry_run || old.is_empty() {
        return Ok(report);
    }
    unit.forget_tasks(&old);
    unit.query(DELETE)
        .bind(old)
        .execute(&mut *unit.conn)
        .await?;
    unit.wrote();
    Ok(report)
}

/// The oldest come first by their number, so that no index has to be kept for this.
async fn look(unit: &mut Unit<'_>, request: &CleanupRequest) -> Result<Vec<Looked>, Fault> {
    let after = request.after.map_or(Ok(0), i64::try_from);
    let before = unit.now() - settle::millis(request.older_than);
    let found: Vec<(i64, Uuid, Option<i64>)> = unit
        .query_as(
            "SELECT t.id, t.uuid, t.ended_at FROM postroom.tasks t
             WHERE t.id > $1 ORDER BY t.id LIMIT $2",
        )
        .bind(after.unwrap_or(i64::MAX))
        .bind(i64::from(request.limit))
        .fetch_all(&mut *unit.conn)
        .await?;
    let looked_at = found.into_iter().map(|(id, uuid, ended_at)| Looked {
        id,
        uuid,
        old: ended_at.is_some_and(|ended| ended <= before),
    });
    Ok(looked_at.collect())
}

const DELETE: &str = "
    WITH history AS (DELETE FROM postroom.history WHERE task_id = ANY($1)),
    steps AS (DELETE FROM postroom.steps WHERE task_id = ANY($1)),
    definitions AS (DELETE FROM postroom.definitions WHERE task_id = ANY($1))
    DELETE FROM postroom.tasks WHERE id = ANY($1)";
