//! What workflows cost the server, as counts: commits, written rows, statements, the log. And that a step of a large
//! workflow costs no more than one of a small one.

use std::sync::Arc;
use std::time::Duration;

use postroom::orchestration::state::TaskState;
use postroom::orchestration::store::Store;
use postroom::orchestration::store::postgres::PostgresStore;
use postroom::orchestration::template::{TaskTemplate, TemplateBuilder};
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use postroom::orchestration::{OrchestrationConfig, OrchestrationCore};
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};

use super::cluster::{Cluster, Database};
use super::kit::open;

/// Everything is counted; the log holds what is written and no whole pages beside it.
const COUNTING: &str = "
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track = 'top'
full_page_writes = off
fsync = off
autovacuum = off
";

/// What was counted, in all.
#[derive(Debug, Clone, Copy)]
struct Counted {
    statements: i64,
    log_records: i64,
    log_bytes: i64,
    /// Pages that were looked at.
    pages: i64,
}

impl std::ops::Sub for Counted {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            statements: self.statements - before.statements,
            log_records: self.log_records - before.log_records,
            log_bytes: self.log_bytes - before.log_bytes,
            pages: self.pages - before.pages,
        }
    }
}

/// The store's statements so far. This one's own text keeps it out of them.
async fn counted(conn: &mut PgConnection) -> Counted {
    let (statements, log_records, log_bytes, pages) = sqlx::query_as(
        "SELECT coalesce(sum(calls), 0)::bigint AS statements, coalesce(sum(wal_records), 0)::bigint AS log_records,
                coalesce(sum(wal_bytes), 0)::bigint AS log_bytes,
                coalesce(sum(shared_blks_hit + shared_blks_read), 0)::bigint AS pages
         FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
         WHERE d.datname = current_database() AND query NOT LIKE '%pg_stat_statements%'",
    )
    .fetch_one(conn)
    .await
    .unwrap();
    Counted {
        statements,
        log_records,
        log_bytes,
        pages,
    }
}

/// Statements that look for what waits beside what a transaction readies.
async fn claims(conn: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query LIKE 'WITH child AS%'",
    )
    .fetch_one(conn)
    .await
    .unwrap()
}

async fn rows(conn: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT coalesce(sum(n), 0)::bigint FROM rows_written /* pg_stat_statements */",
    )
    .fetch_one(conn)
    .await
    .unwrap()
}

/// Counts written rows from now on.
async fn count_rows(conn: &mut PgConnection) {
    conn.execute("CREATE TABLE public.rows_written (n bigint)")
        .await
        .unwrap();
    conn.execute(
        "CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO public.rows_written SELECT count(*) FROM changed; RETURN NULL; END $$",
    )
    .await
    .unwrap();
    for table in ["tasks", "definitions", "steps", "history"] {
        for (event, changed) in [("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")] {
            let trigger = format!(
                "CREATE TRIGGER count_{event} AFTER {event} ON postroom.{table}
                 REFERENCING {changed} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_rows()"
            );
            conn.execute(sqlx::AssertSqlSafe(trigger)).await.unwrap();
        }
    }
}

/// An engine that does nothing but what it is given.
async fn engine(store: &Arc<PostgresStore>, concurrency: usize) -> OrchestrationCore {
    let hour = Duration::from_hours(1);
    let config = OrchestrationConfig {
        concurrency,
        poll_interval: hour,
        sweep_interval: hour,
        heartbeat: hour,
        lease: 3 * hour,
        process_ttl: 3 * hour,
        ..OrchestrationConfig::default()
    };
    let handlers = StepHandlers::new().register("noop", |_: Value, _: StepContext| async {
        Ok::<_, StepError>(())
    });
    OrchestrationCore::builder(Arc::clone(store) as _)
        .handlers(handlers.build().unwrap())
        .config(config)
        .start()
        .await
        .unwrap()
}

async fn run(core: &OrchestrationCore, template: &Arc<TaskTemplate>, input: impl Into<Value>) {
    let task = core.submit(template, input.into()).await.unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
}

/// A server that counts, a database on it, and a connection past the store.
async fn place() -> (Cluster, Database, Arc<PostgresStore>, PgConnection) {
    let cluster = Cluster::start_with(COUNTING);
    let database = cluster.database().await;
    let store = Arc::new(open(&database).await);
    let mut conn = PgConnection::connect(&database).await.unwrap();
    conn.execute("CREATE EXTENSION pg_stat_statements")
        .await
        .unwrap();
    (cluster, database, store, conn)
}

/// Four steps in a row: one commit that stores the task and claims its first step, one for each step's outcome, in
/// which the next step is claimed.
#[tokio::test]
async fn o12_a_workflow_costs_few_commits_rows_and_statements() {
    const WORKFLOWS: i64 = 10;
    let (_cluster, _database, store, mut conn) = place().await;
    let core = engine(&store, 4).await;
    let template = chain(4);
    // The look that belongs to the worker's start is over when a first workflow is.
    run(&core, &template, "first").await;
    let (commits, before) = (store.commits(), counted(&mut conn).await);
    let before_claims = claims(&mut conn).await;
    for number in 0..WORKFLOWS {
        run(&core, &template, number).await;
    }
    let commits = store.commits() - commits;
    let counted = counted(&mut conn).await - before;
    assert_eq!(commits, 5 * WORKFLOWS as u64);
    // Nothing waits beside: each step starts with what its parent's outcome writes.
    assert!(before_claims > 0, "the look at the worker's start is one");
    assert_eq!(claims(&mut conn).await, before_claims);
    // 28 statements for each, of which BEGIN and COMMIT are 10; a little more where the first of a batch came alone.
    assert!(counted.statements <= 30 * WORKFLOWS, "{counted:?}");
    assert!(counted.log_records <= 72 * WORKFLOWS, "{counted:?}");
    assert!(counted.log_bytes <= 8_700 * WORKFLOWS, "{counted:?}");
    // Apart from it: triggers are work too.
    count_rows(&mut conn).await;
    for number in 0..WORKFLOWS {
        run(&core, &template, -1 - number).await;
    }
    // 12 rows are inserted: task, definition, 4 steps, 2 moves of the task, 4 attempts. 11 are changed: each step but the
    // first when it starts (as its parent ends, and so it is not written as ready), each when it ends, and the task with
    // each outcome. What starts as it is stored is written once.
    assert_eq!(rows(&mut conn).await, 23 * WORKFLOWS);
    core.shutdown().await;
    store.close().await;
}

/// Chains, fans and grids: a step costs the same in a workflow of 100 and in one of 1,000.
#[tokio::test]
async fn o06_a_step_costs_the_same_however_many_there_are() {
    let (_cluster, _database, store, mut conn) = place().await;
    let core = engine(&store, 64).await;
    // Most are small, and the server knows it.
    for number in 0..100 {
        run(&core, &chain(4), number).await;
    }
    conn.execute("ANALYZE").await.unwrap();
    for shape in [chain, fan, grid] {
        // Statements are prepared, and the indexes as deep as they will be: a deeper one is a page more for each look,
        // in a small workflow as in a large one.
        run(&core, &shape(1_000), "first").await;
        let mut costs = Vec::new();
        for steps in [100, 1_000] {
            let before = counted(&mut conn).await;
            run(&core, &shape(steps), "counted").await;
            let counted = counted(&mut conn).await - before;
            costs.push([counted.statements, counted.log_records, counted.pages]);
        }
        for (small, large) in costs[0].iter().zip(costs[1]) {
            let bound = small * 10 * 5 / 4;
            assert!(large <= bound, "{costs:?}");
        }
    }
    core.shutdown().await;
    store.close().await;
}

fn template(name: &str, add: impl FnOnce(&mut TemplateBuilder)) -> Arc<TaskTemplate> {
    let mut template = TaskTemplate::builder(name);
    add(&mut template);
    Arc::new(template.build().unwrap())
}

fn chain(steps: usize) -> Arc<TaskTemplate> {
    template("chain", |template| {
        let mut before = template.step("0", "noop").add();
        for number in 1..steps {
            let step = template.step(number.to_string(), "noop");
            before = step.after([&before]).add();
        }
    })
}

/// One, all others behind it, one that waits for them.
fn fan(steps: usize) -> Arc<TaskTemplate> {
    template("fan", |template| {
        let first = template.step("0", "noop").add();
        let all: Vec<_> = (2..steps)
            .map(|number| {
                let step = template.step(number.to_string(), "noop");
                step.after([&first]).add()
            })
            .collect();
        template.step("1", "noop").after(&all).add();
    })
}

/// Ten beside each other, each behind two of the ten before.
fn grid(steps: usize) -> Arc<TaskTemplate> {
    const WIDTH: usize = 10;
    template("grid", |template| {
        let mut all = Vec::new();
        for number in 0..steps {
            let (layer, place) = (number / WIDTH, number % WIDTH);
            let step = template.step(number.to_string(), "noop");
            all.push(if layer == 0 {
                step.add()
            } else {
                let before = (layer - 1) * WIDTH;
                let parents = [&all[before + place], &all[before + (place + 1) % WIDTH]];
                step.after(parents).add()
            });
        }
    })
}
