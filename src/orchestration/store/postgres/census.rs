//! Counting what waits and what runs, in one statement whose cost is bounded.

use super::connect::{Reading, clock};
use super::fault::Fault;
use crate::orchestration::store::Census;

/// `$1`: where counts stop.
const CENSUS: &str = concat!(
    "
    WITH ready AS MATERIALIZED (
        SELECT t.created_at FROM postroom.steps s JOIN postroom.tasks t ON t.id = s.task_id
        WHERE s.state = 'ready' AND t.state <> 'paused' LIMIT $1)
    SELECT (SELECT count(*) FROM ready),
           (SELECT count(*) FROM (SELECT FROM postroom.steps WHERE state = 'running' LIMIT $1) r),
           (SELECT count(*) FROM (SELECT FROM postroom.steps WHERE state = 'retry_wait' LIMIT $1) w),
           (SELECT count(*) FROM (SELECT FROM postroom.tasks WHERE blocked LIMIT $1) b),
           (SELECT count(*) FROM (SELECT FROM postroom.processes LIMIT $1) p),
           (SELECT min(created_at) FROM ready),
           ",
    clock!()
);

pub(super) async fn census(reading: &mut Reading) -> Result<Census, Fault> {
    type Row = (i64, i64, i64, i64, i64, Option<i64>, i64);
    let (ready, running, retry_wait, blocked, processes, oldest, now): Row = reading
        .query_as(CENSUS)
        .bind(i64::from(Census::MOST))
        .fetch_one(reading.conn())
        .await?;
    let counts = [ready, running, retry_wait, blocked, processes];
    Ok(Census::counted(counts, oldest, now))
}
