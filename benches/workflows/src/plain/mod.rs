//! The same rows without an engine: one connection, one loop, as plain as somebody would write it who knows
//! the database.
//!
//! For each batch of workflows: one transaction that inserts what the engine inserts; then for each level one
//! that claims (the steps; on the first level the tasks and their history) and one that completes (the steps,
//! their history, their children, the tasks; on the last level the history of the tasks).

mod postgres;
mod sqlite;

use crate::database::Database;

const STEPS: i64 = 4;
const NAMES: [&str; 4] = ["first", "second", "third", "fourth"];

/// Workflows per second, in batches.
pub(crate) async fn throughput(database: &Database, workflows: usize, batch: usize) -> f64 {
    database.prepare().await;
    match database {
        Database::Sqlite(database) => sqlite::throughput(database, workflows, batch).await,
        Database::Postgres(database) => postgres::throughput(database, workflows, batch).await,
    }
}

/// As long as the engine's.
fn template() -> String {
    let steps: Vec<_> = NAMES
        .iter()
        .map(|name| serde_json::json!({ "name": name, "dependencies": ["one"], "handler": { "callable": "noop" } }))
        .collect();
    serde_json::json!({ "name": "linear", "namespace_name": "default", "version": "1.0.0", "steps": steps }).to_string()
}
