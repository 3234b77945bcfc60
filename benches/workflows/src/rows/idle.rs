//! What a process with nothing to do asks of its database.

use std::time::Duration;

use postroom::orchestration::OrchestrationConfig;
use serde_json::{Value, json};

use crate::database::{Database, Kind};
use crate::engine::Engine;
use crate::report::rounded;

pub(crate) async fn measure(kind: &Kind, seconds: u64) -> Value {
    let database = kind.database().await;
    database.prepare().await;
    if let Database::Postgres(postgres) = &database {
        postgres.count_statements().await;
    }
    let engine = Engine::start(&database, 16, usize::MAX).await;
    // What belongs to the start: the pauses between two looks double until they are `idle_interval`.
    tokio::time::sleep(OrchestrationConfig::default().idle_interval * 3).await;
    let commits = engine.opened.commits();
    let before = statements(&database).await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let commits = engine.opened.commits() - commits;
    let after = statements(&database).await;
    engine.stop().await;
    let rate = |count: f64| rounded(count / seconds as f64);
    let mut row =
        json!({ "seconds": seconds, "writing_transactions_per_second": rate(commits as f64) });
    if let (Some(before), Some(after)) = (before, after) {
        row["statements_per_second"] = rate((after.0 - before.0) as f64).into();
        row["transactions_per_second"] = rate((after.1 - before.1) as f64).into();
    }
    row
}

async fn statements(database: &Database) -> Option<(i64, i64)> {
    match database {
        Database::Postgres(postgres) => Some(postgres.statements().await),
        Database::Sqlite(_) => None,
    }
}
