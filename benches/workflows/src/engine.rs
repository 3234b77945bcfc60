//! The workload through postroom.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postroom::orchestration::state::TaskState;
use postroom::orchestration::store::Store;
use postroom::orchestration::store::sqlite::SqliteStore;
use postroom::orchestration::template::TaskTemplate;
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use postroom::orchestration::{OrchestrationConfig, OrchestrationCore};
use serde_json::Value;
use sqlx::Connection;
use tokio::sync::Notify;

use crate::database::Database;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) workflows: usize,
    pub(crate) submitters: usize,
    pub(crate) concurrency: usize,
}

/// What the handlers tell.
#[derive(Default)]
struct Seen {
    first: Mutex<Option<Instant>>,
    last: AtomicUsize,
    all: Notify,
}

struct Engine {
    core: Arc<OrchestrationCore>,
    store: Arc<SqliteStore>,
    template: Arc<TaskTemplate>,
    seen: Arc<Seen>,
}

impl Engine {
    async fn start(database: &Database, concurrency: usize, expected: usize) -> Self {
        let store = database.store().await;
        let seen = Arc::new(Seen::default());
        let (first, last) = (Arc::clone(&seen), Arc::clone(&seen));
        let handlers = StepHandlers::new()
            .register("first", move |_: Value, _: StepContext| {
                *first.first.lock().unwrap() = Some(Instant::now());
                async { Ok::<_, StepError>(()) }
            })
            .register("noop", |_: Value, _: StepContext| async { Ok::<_, StepError>(()) })
            .register("last", move |_: Value, _: StepContext| {
                if last.last.fetch_add(1, Ordering::Relaxed) + 1 == expected {
                    last.all.notify_one();
                }
                async { Ok::<_, StepError>(()) }
            });
        let shared: Arc<dyn Store> = Arc::clone(&store) as _;
        let core = OrchestrationCore::builder(shared)
            .handlers(handlers.build().expect("the handlers have different names"))
            .config(OrchestrationConfig { concurrency, ..OrchestrationConfig::default() })
            .start()
            .await
            .expect("the core starts");
        let mut template = TaskTemplate::builder("linear");
        let mut before = template.step("first", "first").add();
        for name in ["second", "third"] {
            before = template.step(name, "noop").after([&before]).add();
        }
        template.step("fourth", "last").after([&before]).add();
        Self {
            core: Arc::new(core),
            store,
            template: Arc::new(template.build().expect("the template is valid")),
            seen,
        }
    }

    async fn stop(self) {
        let report = self.core.shutdown().await;
        assert!(report.is_balanced(), "{report}");
    }
}

/// Workflows per second, from the first call to the last recorded end.
pub(crate) async fn throughput(database: &Database, load: Load) -> f64 {
    let engine = Engine::start(database, load.concurrency, load.workflows).await;
    let mut conn = database.connect().await;
    let (before,): (i64,) = sqlx::query_as("SELECT coalesce(max(id), 0) FROM postroom_tasks")
        .fetch_one(&mut conn)
        .await
        .expect("it can be read");
    let started = Instant::now();
    submit_all(&engine, load).await;
    engine.seen.all.notified().await;
    // The last handlers have run; what is left is the record of it.
    loop {
        let (left,): (i64,) = sqlx::query_as(
            "SELECT count(*) FROM postroom_tasks WHERE id > ?1 AND state <> 'complete'",
        )
        .bind(before)
        .fetch_one(&mut conn)
        .await
        .expect("it can be read");
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let elapsed = started.elapsed();
    conn.close().await.expect("it closes");
    engine.stop().await;
    load.workflows as f64 / elapsed.as_secs_f64()
}

async fn submit_all(engine: &Engine, load: Load) {
    let next = Arc::new(AtomicUsize::new(0));
    let submitters: Vec<_> = (0..load.submitters)
        .map(|_| {
            let (core, template) = (Arc::clone(&engine.core), Arc::clone(&engine.template));
            let next = Arc::clone(&next);
            // Another input for each round, so that a database can be used again.
            let round = Instant::now();
            let salt = uuid::Uuid::new_v4().to_string();
            tokio::spawn(async move {
                let _ = round;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= load.workflows {
                        break;
                    }
                    let input = serde_json::json!({ "order": number, "round": salt });
                    core.submit(&template, input).await.expect("it is accepted");
                }
            })
        })
        .collect();
    for submitter in submitters {
        submitter.await.expect("it does not panic");
    }
}

pub(crate) struct Latency {
    /// Milliseconds.
    pub(crate) complete: Vec<f64>,
    pub(crate) first_step: Vec<f64>,
    pub(crate) commits: f64,
}

/// One workflow after another.
pub(crate) async fn latency(database: &Database, workflows: usize) -> Latency {
    let engine = Engine::start(database, 16, usize::MAX).await;
    let mut latency = Latency { complete: Vec::new(), first_step: Vec::new(), commits: 0.0 };
    let warm = workflows / 10;
    let mut commits = engine.store.commits();
    for number in 0..warm + workflows {
        if number == warm {
            commits = engine.store.commits();
        }
        let started = Instant::now();
        let task = engine.core.submit(&engine.template, number).await.expect("it is accepted");
        let record = task.wait().await.expect("it can be read");
        let elapsed = started.elapsed();
        assert_eq!(record.state, TaskState::Complete);
        let first = engine.seen.first.lock().unwrap().take().expect("it has started");
        if number >= warm {
            latency.complete.push(elapsed.as_secs_f64() * 1_000.0);
            latency.first_step.push((first - started).as_secs_f64() * 1_000.0);
        }
    }
    latency.commits = (engine.store.commits() - commits) as f64 / workflows as f64;
    engine.stop().await;
    latency
}

/// Per workflow.
pub(crate) struct Costs {
    pub(crate) commits: f64,
    pub(crate) rows: f64,
    pub(crate) log_bytes: f64,
}

/// What is written under load. Counted by triggers and with a log that is not reused, so apart from the timing.
pub(crate) async fn costs(database: &Database, load: Load) -> Costs {
    let load = Load { workflows: load.workflows.min(2_000), ..load };
    database.store().await.close().await;
    // Bytes first: triggers would add to them.
    let engine = Engine::start(database, load.concurrency, load.workflows).await;
    let mut reader = database.connect().await;
    sqlx::query("BEGIN").execute(&mut reader).await.expect("it begins");
    sqlx::query("SELECT count(*) FROM postroom_tasks").fetch_one(&mut reader).await.expect("it reads");
    let (bytes, commits) = (database.log_size(), engine.store.commits());
    submit_all(&engine, load).await;
    engine.seen.all.notified().await;
    settled(&engine).await;
    let log_bytes = (database.log_size() - bytes) as f64 / load.workflows as f64;
    let commits = (engine.store.commits() - commits) as f64 / load.workflows as f64;
    sqlx::query("COMMIT").execute(&mut reader).await.expect("it ends");
    engine.stop().await;

    sqlx::query("CREATE TABLE bench_rows (n INTEGER NOT NULL)").execute(&mut reader).await.expect("a table");
    sqlx::query("INSERT INTO bench_rows VALUES (0)").execute(&mut reader).await.expect("a row");
    for table in ["tasks", "definitions", "steps", "edges", "history"] {
        for event in ["INSERT", "UPDATE", "DELETE"] {
            let trigger = format!(
                "CREATE TRIGGER bench_{table}_{event} AFTER {event} ON postroom_{table}
                 BEGIN UPDATE bench_rows SET n = n + 1; END"
            );
            sqlx::query(sqlx::AssertSqlSafe(trigger)).execute(&mut reader).await.expect("a trigger");
        }
    }
    let engine = Engine::start(database, load.concurrency, load.workflows).await;
    submit_all(&engine, load).await;
    engine.seen.all.notified().await;
    settled(&engine).await;
    let (rows,): (i64,) =
        sqlx::query_as("SELECT n FROM bench_rows").fetch_one(&mut reader).await.expect("it can be read");
    engine.stop().await;
    reader.close().await.expect("it closes");
    Costs { commits, rows: rows as f64 / load.workflows as f64, log_bytes }
}

/// Until the last outcomes are recorded.
async fn settled(engine: &Engine) {
    while engine.core.running_steps() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Transactions per second of a process with nothing to do, reads and writes.
pub(crate) async fn idle(database: &Database, seconds: u64) -> f64 {
    let engine = Engine::start(database, 16, usize::MAX).await;
    let sweeps = |engine: &Engine| engine.core.processing_stats().tasks_finalized;
    let (commits, before) = (engine.store.commits(), sweeps(&engine));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    // Each sweep reads the list of processes, apart from its transaction.
    let all = engine.store.commits() - commits + sweeps(&engine) - before;
    engine.stop().await;
    all as f64 / seconds as f64
}

/// One workflow, to its end.
pub(crate) async fn one(database: &Database) {
    let engine = Engine::start(database, 16, usize::MAX).await;
    let task = engine.core.submit(&engine.template, "sample").await.expect("it is accepted");
    task.wait().await.expect("it can be read");
    engine.stop().await;
}
