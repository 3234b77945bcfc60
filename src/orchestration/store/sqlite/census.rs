//! Counting what waits and what runs, in one statement whose cost is bounded.

use sqlx::SqlitePool;

use super::connect::clock;
use super::fault::Fault;
use crate::orchestration::store::Census;

/// `?1`: where counts stop. The conditions name the indexes of live rows.
const CENSUS: &str = concat!(
    "
    WITH ready AS MATERIALIZED (
        SELECT t.created_at FROM postroom_steps s INDEXED BY postroom_steps_ready
        CROSS JOIN postroom_tasks t ON t.id = s.task_id
        WHERE s.state = 'ready' AND t.state <> 'paused' LIMIT ?1 + 0)
    SELECT (SELECT count(*) FROM ready),
           (SELECT count(*) FROM (SELECT 1 FROM postroom_steps INDEXED BY postroom_steps_running
                                  WHERE state = 'running' LIMIT ?1 + 0)),
           (SELECT count(*) FROM (SELECT 1 FROM postroom_steps INDEXED BY postroom_steps_retry_wait
                                  WHERE state = 'retry_wait' LIMIT ?1 + 0)),
           (SELECT count(*) FROM (SELECT 1 FROM postroom_tasks INDEXED BY postroom_tasks_blocked
                                  WHERE state = 'blocked' LIMIT ?1 + 0)),
           (SELECT count(*) FROM (SELECT 1 FROM postroom_processes LIMIT ?1 + 0)),
           (SELECT min(created_at) FROM ready),
           ",
    clock!()
);

pub(super) async fn census(pool: &SqlitePool) -> Result<Census, Fault> {
    type Row = (i64, i64, i64, i64, i64, Option<i64>, i64);
    let (ready, running, retry_wait, blocked, processes, oldest, now): Row = sqlx::query_as(CENSUS)
        .bind(i64::from(Census::MOST))
        .fetch_one(pool)
        .await?;
    let counts = [ready, running, retry_wait, blocked, processes];
    Ok(Census::counted(counts, oldest, now))
}
