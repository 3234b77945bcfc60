//! In PostgreSQL: sets as arrays, prepared statements.

use std::time::Instant;

use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use super::{NAMES, STEPS, template};
use crate::database::Postgres;

const AT: i64 = 1_700_000_000_000;

/// Workflows per second, in batches.
pub(super) async fn throughput(database: &Postgres, workflows: usize, batch: usize) -> f64 {
    let template = template();
    let mut conn = database.connect().await;
    let process = Uuid::new_v4();
    let batch = i64::try_from(batch).expect("a small number");
    let workflows = i64::try_from(workflows).expect("a small number");
    let started = Instant::now();
    let mut first = 1;
    while first <= workflows {
        let ids: Vec<i64> = (first..first + batch).collect();
        begin(&mut conn).await;
        insert(&mut conn, &ids, &template, process).await;
        commit(&mut conn).await;
        for level in 0..STEPS {
            begin(&mut conn).await;
            claim(&mut conn, &ids, level, process).await;
            commit(&mut conn).await;
            begin(&mut conn).await;
            complete(&mut conn, &ids, level, process).await;
            commit(&mut conn).await;
        }
        first += batch;
    }
    let rate = workflows as f64 / started.elapsed().as_secs_f64();
    let (done,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM postroom.tasks WHERE state = 'complete'")
            .fetch_one(&mut conn)
            .await
            .expect("it can be read");
    assert_eq!(done, first - 1);
    conn.close().await.expect("it closes");
    rate
}

async fn begin(conn: &mut PgConnection) {
    conn.execute("BEGIN").await.expect("it begins");
}

async fn commit(conn: &mut PgConnection) {
    conn.execute("COMMIT").await.expect("it commits");
}

async fn insert(conn: &mut PgConnection, ids: &[i64], template: &str, process: Uuid) {
    let uuids: Vec<Uuid> = ids.iter().map(|_| Uuid::now_v7()).collect();
    let hashes: Vec<Vec<u8>> = ids
        .iter()
        .map(|_| [*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat())
        .collect();
    sqlx::query(
        "INSERT INTO postroom.tasks (id, uuid, identity, content, namespace, name, version, state, run, priority,
            failure_policy, correlation_id, submitted_by, steps_total, steps_pending, steps_active,
            steps_retry_wait, steps_satisfied, steps_failed, steps_cancelled, created_at)
         SELECT id, uuid, hash, hash, 'default', 'linear', '1.0.0', 'pending', 1, 0, 'continue', uuid, $4, 4, 3, 1,
            0, 0, 0, 0, $5
         FROM unnest($1::bigint[], $2::uuid[], $3::bytea[]) AS n (id, uuid, hash)",
    )
    .bind(ids)
    .bind(uuids)
    .bind(hashes)
    .bind(process)
    .bind(AT)
    .execute(&mut *conn)
    .await
    .expect("it is written");
    let inputs: Vec<String> = ids.iter().map(|id| format!("{{\"order\":{id}}}")).collect();
    sqlx::query(
        "INSERT INTO postroom.definitions (task_id, template, input)
         SELECT id, $2, input FROM unnest($1::bigint[], $3::text[]) AS n (id, input)",
    )
    .bind(ids)
    .bind(template)
    .bind(inputs)
    .execute(&mut *conn)
    .await
    .expect("it is written");
    sqlx::query(
        "INSERT INTO postroom.steps (task_id, idx, name, callable, priority, state, parents, children, unmet,
            attempts, max_attempts, lost_leases, epoch)
         SELECT id, idx, name, 'noop', 0, CASE idx WHEN 0 THEN 'ready' ELSE 'pending' END,
            CASE idx WHEN 0 THEN '{}'::int[] ELSE ARRAY[idx - 1]::int[] END,
            CASE idx WHEN 3 THEN '{}'::int[] ELSE ARRAY[idx + 1]::int[] END,
            CASE idx WHEN 0 THEN 0 ELSE 1 END, 0, 3, 0, 0
         FROM unnest($1::bigint[]) AS n (id) CROSS JOIN unnest($2::bigint[], $3::text[]) AS s (idx, name)",
    )
    .bind(ids)
    .bind((0..STEPS).collect::<Vec<_>>())
    .bind(&NAMES[..])
    .execute(&mut *conn)
    .await
    .expect("it is written");
}

async fn claim(conn: &mut PgConnection, ids: &[i64], level: i64, process: Uuid) {
    let claimed: Vec<(i64, i32)> = sqlx::query_as(
        "WITH r AS MATERIALIZED (
            SELECT task_id, idx FROM postroom.steps WHERE state = 'ready' AND callable = 'noop'
            ORDER BY priority DESC, task_id, idx LIMIT $3 FOR UPDATE SKIP LOCKED)
         UPDATE postroom.steps s SET state = 'running', epoch = epoch + 1, attempts = attempts + 1, owner = $1,
            lease_until = $2 + 30000, started_at = $2
         FROM r WHERE s.task_id = r.task_id AND s.idx = r.idx
         RETURNING s.task_id, s.idx",
    )
    .bind(process)
    .bind(AT)
    .bind(i64::try_from(ids.len()).expect("a small number"))
    .fetch_all(&mut *conn)
    .await
    .expect("it is claimed");
    assert_eq!(claimed.len(), ids.len());
    if level == 0 {
        sqlx::query(
            "WITH told AS (
                INSERT INTO postroom.history (task_id, at, run, process, kind, from_state, to_state)
                SELECT id, $2, 1, $3, 'task_state', 'pending', 'running' FROM unnest($1::bigint[]) AS n (id))
             UPDATE postroom.tasks SET state = 'running', owner = $3, started_at = $2 WHERE id = ANY($1)",
        )
        .bind(ids)
        .bind(AT)
        .bind(process)
        .execute(&mut *conn)
        .await
        .expect("it is written");
    }
}

async fn complete(conn: &mut PgConnection, ids: &[i64], level: i64, process: Uuid) {
    sqlx::query(
        "WITH told AS (
            INSERT INTO postroom.history (task_id, at, run, process, kind, from_state, to_state, step, attempt, epoch,
                detail)
            SELECT id, $3, 1, $4, 'attempt', 'running', 'complete', $2, 1, 1, 'took 0 ms'
            FROM unnest($1::bigint[]) AS n (id)),
         readied AS (
            UPDATE postroom.steps SET unmet = unmet - 1, state = 'ready' WHERE task_id = ANY($1) AND idx = $2 + 1)
         UPDATE postroom.steps SET state = 'complete', result = 'null', owner = NULL, lease_until = NULL, ended_at = $3
         WHERE task_id = ANY($1) AND idx = $2 AND state = 'running'",
    )
    .bind(ids)
    .bind(i32::try_from(level).expect("a small number"))
    .bind(AT)
    .bind(process)
    .execute(&mut *conn)
    .await
    .expect("it is written");
    let statement = if level + 1 == STEPS {
        "WITH told AS (
            INSERT INTO postroom.history (task_id, at, run, process, kind, from_state, to_state)
            SELECT id, $2, 1, $3, 'task_state', 'running', 'complete' FROM unnest($1::bigint[]) AS n (id))
         UPDATE postroom.tasks SET state = 'complete', steps_active = 0, steps_satisfied = steps_satisfied + 1,
            ended_at = $2, owner = $3
         WHERE id = ANY($1)"
    } else {
        "UPDATE postroom.tasks SET steps_satisfied = steps_satisfied + 1, steps_pending = steps_pending - 1,
            owner = CASE WHEN $2 > 0 THEN $3::uuid END
         WHERE id = ANY($1)"
    };
    sqlx::query(statement)
        .bind(ids)
        .bind(AT)
        .bind(process)
        .execute(&mut *conn)
        .await
        .expect("it is written");
}
