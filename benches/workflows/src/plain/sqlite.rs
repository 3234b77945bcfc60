//! In SQLite.

use std::time::Instant;

use sqlx::{Connection, QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{NAMES, STEPS, template};
use crate::database::Sqlite as Place;

/// Workflows per second, in batches.
pub(super) async fn throughput(database: &Place, workflows: usize, batch: usize) -> f64 {
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
        sqlx::query_as("SELECT count(*) FROM postroom_tasks WHERE state = 'complete'")
            .fetch_one(&mut conn)
            .await
            .expect("it can be read");
    assert_eq!(done, first - 1);
    conn.close().await.expect("it closes");
    rate
}

async fn begin(conn: &mut SqliteConnection) {
    sqlx::query("BEGIN IMMEDIATE")
        .execute(conn)
        .await
        .expect("it begins");
}

async fn commit(conn: &mut SqliteConnection) {
    sqlx::query("COMMIT")
        .execute(conn)
        .await
        .expect("it commits");
}

async fn run(conn: &mut SqliteConnection, mut query: QueryBuilder<Sqlite>) {
    query.build().execute(conn).await.expect("it is written");
}

async fn insert(conn: &mut SqliteConnection, ids: &[i64], template: &str, process: Uuid) {
    let mut tasks = QueryBuilder::new(
        "INSERT INTO postroom_tasks (id, uuid, identity, content, namespace, name, version, state, run, priority,
         correlation_id, submitted_by, steps_total, steps_pending, steps_ready, steps_running, steps_retry_wait,
         steps_satisfied, steps_failed, steps_cancelled, created_at) ",
    );
    tasks.push_values(ids, |mut row, id| {
        let uuid = Uuid::now_v7();
        let hash = [*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat();
        row.push_bind(*id)
            .push_bind(uuid.as_bytes().to_vec())
            .push_bind(hash.clone())
            .push_bind(hash)
            .push("'default', 'linear', '1.0.0', 'pending', 1, 0")
            .push_bind(Uuid::now_v7().as_bytes().to_vec())
            .push_bind(process.as_bytes().to_vec())
            .push("4, 3, 1, 0, 0, 0, 0, 0, 1700000000000");
    });
    run(conn, tasks).await;
    let mut definitions =
        QueryBuilder::new("INSERT INTO postroom_definitions (task_id, template, input) ");
    definitions.push_values(ids, |mut row, id| {
        row.push_bind(*id)
            .push_bind(template.to_owned())
            .push_bind(format!("{{\"order\":{id}}}"));
    });
    run(conn, definitions).await;
    let places = ids
        .iter()
        .flat_map(|id| (0..STEPS).map(move |index| (*id, index)));
    let mut steps = QueryBuilder::new(
        "INSERT INTO postroom_steps (task_id, idx, name, callable, priority, state, parents, unmet, max_attempts,
         attempts, lost_leases, epoch) ",
    );
    steps.push_values(places.clone(), |mut row, (id, index)| {
        let state = if index == 0 { "ready" } else { "pending" };
        row.push_bind(id)
            .push_bind(index)
            .push_bind(NAMES[usize::try_from(index).expect("a small number")])
            .push("'noop', 0")
            .push_bind(state)
            .push_bind(i64::from(index > 0))
            .push_bind(i64::from(index > 0))
            .push("3, 0, 0, 0");
    });
    run(conn, steps).await;
    let mut edges = QueryBuilder::new("INSERT INTO postroom_edges (task_id, parent, child) ");
    edges.push_values(
        places.filter(|(_, index)| *index > 0),
        |mut row, (id, index)| {
            row.push_bind(id).push_bind(index - 1).push_bind(index);
        },
    );
    run(conn, edges).await;
}

async fn history(
    conn: &mut SqliteConnection,
    ids: &[i64],
    process: Uuid,
    what: &str,
    step: Option<i64>,
) {
    let mut rows = QueryBuilder::new(
        "INSERT INTO postroom_history (task_id, at, run, process, kind, from_state, to_state, step, attempt, epoch,
         detail) ",
    );
    rows.push_values(ids, |mut row, id| {
        row.push_bind(*id)
            .push("1700000000000, 1")
            .push_bind(process.as_bytes().to_vec())
            .push(what)
            .push_bind(step)
            .push_bind(step.map(|_| 1))
            .push_bind(step.map(|_| 1))
            .push_bind(step.map(|_| "took 0 ms"));
    });
    run(conn, rows).await;
}

async fn claim(conn: &mut SqliteConnection, ids: &[i64], level: i64, process: Uuid) {
    let claimed: Vec<(i64, i64)> = sqlx::query_as(
        "UPDATE postroom_steps SET state = 'running', epoch = epoch + 1, attempts = attempts + 1, owner = ?1,
            lease_until = 1700000030000, started_at = 1700000000000
         FROM (SELECT task_id, idx FROM postroom_steps WHERE state = 'ready' AND callable = 'noop'
               ORDER BY priority DESC, task_id, idx LIMIT ?2) r
         WHERE postroom_steps.task_id = r.task_id AND postroom_steps.idx = r.idx
         RETURNING task_id, idx",
    )
    .bind(process.as_bytes().to_vec())
    .bind(i64::try_from(ids.len()).expect("a small number"))
    .fetch_all(&mut *conn)
    .await
    .expect("it is claimed");
    assert_eq!(claimed.len(), ids.len());
    sqlx::query(
        "UPDATE postroom_tasks SET state = 'running', steps_ready = steps_ready - 1, steps_running = 1, owner = ?2,
            started_at = coalesce(started_at, 1700000000000)
         FROM json_each(?1) j WHERE postroom_tasks.id = j.value",
    )
    .bind(serde_json::to_string(ids).expect("numbers"))
    .bind(process.as_bytes().to_vec())
    .execute(&mut *conn)
    .await
    .expect("it is written");
    if level == 0 {
        history(
            conn,
            ids,
            process,
            "'task_state', 'pending', 'running'",
            None,
        )
        .await;
    }
}

async fn complete(conn: &mut SqliteConnection, ids: &[i64], level: i64, process: Uuid) {
    let set = serde_json::to_string(ids).expect("numbers");
    sqlx::query(
        "UPDATE postroom_steps SET state = 'complete', result = 'null', owner = NULL, lease_until = NULL,
            ended_at = 1700000000000
         FROM json_each(?1) j WHERE task_id = j.value AND idx = ?2 AND state = 'running'",
    )
    .bind(&set)
    .bind(level)
    .execute(&mut *conn)
    .await
    .expect("it is written");
    history(
        conn,
        ids,
        process,
        "'attempt', 'running', 'complete'",
        Some(level),
    )
    .await;
    let last = level + 1 == STEPS;
    if !last {
        sqlx::query(
            "UPDATE postroom_steps SET unmet = unmet - 1, state = 'ready'
             FROM json_each(?1) j CROSS JOIN postroom_edges e ON e.task_id = j.value AND e.parent = ?2
             WHERE postroom_steps.task_id = e.task_id AND postroom_steps.idx = e.child",
        )
        .bind(&set)
        .bind(level)
        .execute(&mut *conn)
        .await
        .expect("it is written");
    }
    let statement = if last {
        "UPDATE postroom_tasks SET state = 'complete', steps_running = 0, steps_satisfied = steps_satisfied + 1,
            ended_at = 1700000000000
         FROM json_each(?1) j WHERE postroom_tasks.id = j.value"
    } else {
        "UPDATE postroom_tasks SET steps_running = 0, steps_satisfied = steps_satisfied + 1,
            steps_pending = steps_pending - 1, steps_ready = 1
         FROM json_each(?1) j WHERE postroom_tasks.id = j.value"
    };
    sqlx::query(statement)
        .bind(&set)
        .execute(&mut *conn)
        .await
        .expect("it is written");
    if last {
        history(
            conn,
            ids,
            process,
            "'task_state', 'running', 'complete'",
            None,
        )
        .await;
    }
}
