//! What a workflow costs the database: commits and written rows, as exact counts.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postroom::orchestration::state::TaskState;
use postroom::orchestration::template::TaskTemplate;
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use postroom::orchestration::{OrchestrationConfig, OrchestrationCore};
use serde_json::Value;
use sqlx::SqliteConnection;

use super::kit::{open, place, raw};

const WORKFLOWS: i64 = 10;

/// Pages of log of a workflow on its own.
const LOG_PAGES: u64 = 38;

const TABLES: [&str; 5] = ["tasks", "definitions", "steps", "edges", "history"];

async fn written(conn: &mut SqliteConnection) -> i64 {
    let (rows,): (i64,) = sqlx::query_as("SELECT n FROM written")
        .fetch_one(conn)
        .await
        .unwrap();
    rows
}

/// Four steps in a row: one commit that stores the task and claims its first step, one for each step's outcome,
/// in which the next step is claimed. Nothing looks at the database in between.
#[tokio::test]
async fn o12_a_workflow_costs_a_commit_for_each_step_and_one() {
    let (_folder, path) = place();
    let store = Arc::new(open(&path).await);
    let mut conn = raw(&path).await;
    let mut counting =
        String::from("CREATE TABLE written (n INTEGER); INSERT INTO written VALUES (0);");
    for table in TABLES {
        for event in ["INSERT", "UPDATE", "DELETE"] {
            let _ = write!(
                counting,
                "CREATE TRIGGER count_{table}_{event} AFTER {event} ON postroom_{table}
                 BEGIN UPDATE written SET n = n + 1; END;"
            );
        }
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(counting))
        .execute(&mut conn)
        .await
        .unwrap();
    let hour = Duration::from_hours(1);
    let config = OrchestrationConfig {
        concurrency: 4,
        // Nothing but the workflow itself.
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
    let core = OrchestrationCore::builder(Arc::clone(&store) as _)
        .handlers(handlers.build().unwrap())
        .config(config)
        .start()
        .await
        .unwrap();
    let mut template = TaskTemplate::builder("linear");
    let mut before = template.step("a", "noop").add();
    for name in ["b", "c"] {
        before = template.step(name, "noop").after([&before]).add();
    }
    template.step("d", "noop").after([&before]).add();
    let template = Arc::new(template.build().unwrap());

    // The look that belongs to the worker's start is over when a first workflow is.
    let first = core.submit(&template, "first").await.unwrap();
    first.wait().await.unwrap();
    let commits = store.commits();
    let rows_before = written(&mut conn).await;
    let log_before = log_pages(&path);
    for number in 0..WORKFLOWS {
        let task = core.submit(&template, number).await.unwrap();
        assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    }
    let commits = store.commits() - commits;
    let rows = written(&mut conn).await - rows_before;
    // 15 rows are inserted: task, definition, 4 steps, 3 edges, 2 moves of the task, 4 attempts. 11 are changed: each
    // step when it ends, each child when it starts, the task with each commit but the first, which inserts the first
    // step as it runs.
    assert_eq!((commits, rows), (5 * 10, 26 * WORKFLOWS));
    // The log is not begun anew, for it is short. One in eight of these pages is the counter of this test.
    let pages = log_pages(&path) - log_before;
    assert!(pages <= LOG_PAGES * 10, "{pages} pages of log");
    core.shutdown().await;
}

/// How many pages the log file holds, each with a header of 24 bytes.
fn log_pages(path: &Path) -> u64 {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    std::fs::metadata(name).unwrap().len() / (4096 + 24)
}
