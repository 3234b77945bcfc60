//! What a workflow under load costs: commits, written rows, bytes of the log. Apart from the timing.

use serde_json::{Value, json};
use sqlx::Connection;

use crate::database::{Database, Kind, Written};
use crate::engine::{Engine, Load};
use crate::report::rounded;

pub(crate) async fn measure(kind: &Kind, load: Load) -> Value {
    let load = Load {
        workflows: load.workflows.min(2_000),
        ..load
    };
    let database = kind.database().await;
    database.prepare().await;
    let (commits, written) = match &database {
        Database::Postgres(postgres) => {
            let before = postgres.written().await;
            let commits = run(&database, load).await;
            let after = postgres.written().await;
            let written = Written {
                rows: after.rows - before.rows,
                log_bytes: after.log_bytes - before.log_bytes,
            };
            (commits, written)
        }
        Database::Sqlite(sqlite) => {
            // Bytes first: triggers would add to them. While somebody reads, the log is not used again.
            let mut reader = sqlite.connect().await;
            sqlx::query("BEGIN")
                .execute(&mut reader)
                .await
                .expect("it begins");
            sqlx::query("SELECT count(*) FROM postroom_tasks")
                .fetch_one(&mut reader)
                .await
                .expect("it reads");
            let before = sqlite.log_size();
            let commits = run(&database, load).await;
            let log_bytes = sqlite.log_size() - before;
            reader.close().await.expect("it closes");
            sqlite.count_rows().await;
            run(&database, load).await;
            (
                commits,
                Written {
                    log_bytes,
                    ..sqlite.rows().await
                },
            )
        }
    };
    let each = |count: u64| rounded(count as f64 / load.workflows as f64);
    json!({
        "commits_per_workflow": each(commits),
        "row_writes_per_workflow": each(written.rows),
        "log_bytes_per_workflow": each(written.log_bytes),
    })
}

/// Returns the number of commits.
async fn run(database: &Database, load: Load) -> u64 {
    let engine = Engine::start(database, load.concurrency, load.workflows).await;
    let (last, _) = database.unfinished(0).await;
    let before = engine.opened.commits();
    engine.run(load, database, last).await;
    let commits = engine.opened.commits() - before;
    engine.stop().await;
    commits
}
