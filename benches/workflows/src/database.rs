//! The database under test: how it is opened by the engine and by hand.
//!
//! Another backend is another [`Database`] constructor and its statements in [`plain`](crate::plain).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use postroom::orchestration::store::sqlite::{SqliteOptions, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

pub(crate) struct Database {
    path: PathBuf,
}

impl Database {
    pub(crate) fn sqlite(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) async fn store(&self) -> Arc<SqliteStore> {
        let path = self.path.to_str().expect("a path of text");
        let store = SqliteStore::open(path, SqliteOptions::default()).await;
        Arc::new(store.expect("the database opens"))
    }

    /// A connection of its own: WAL, every commit durable.
    pub(crate) async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .foreign_keys(true)
            .row_buffer_size(1_024)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        options.connect().await.expect("it connects")
    }

    pub(crate) fn log_size(&self) -> u64 {
        let log = Path::new(&self.path).with_extension("db-wal");
        std::fs::metadata(log).map_or(0, |metadata| metadata.len())
    }

    /// Puts finished tasks into the tables: copies of one that the engine has run.
    pub(crate) async fn fill(&self, count: usize) {
        crate::engine::one(self).await;
        let mut conn = self.connect().await;
        let columns = |table: &str| AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')"));
        let mut left = count;
        while left > 0 {
            let now = left.min(20_000);
            let numbers = format!(
                "(WITH RECURSIVE n (n) AS (SELECT (SELECT max(id) FROM postroom_tasks) + 1 UNION ALL SELECT n + 1 FROM n \
                 LIMIT {now}) SELECT n FROM n)"
            );
            sqlx::query("BEGIN IMMEDIATE").execute(&mut conn).await.expect("it begins");
            for table in ["tasks", "definitions", "steps", "edges", "history"] {
                let table = format!("postroom_{table}");
                let names: Vec<(String,)> =
                    sqlx::query_as(columns(&table)).fetch_all(&mut conn).await.expect("it has columns");
                let values: Vec<String> = names
                    .iter()
                    .map(|(name,)| match (table.as_str(), name.as_str()) {
                        ("postroom_tasks", "id") | (_, "task_id") => "n.n".to_owned(),
                        ("postroom_history", "id") => "NULL".to_owned(),
                        ("postroom_tasks", "uuid") => "randomblob(16)".to_owned(),
                        ("postroom_tasks", "identity" | "content") => "randomblob(32)".to_owned(),
                        _ => format!("s.{name}"),
                    })
                    .collect();
                let key = if table == "postroom_tasks" { "id" } else { "task_id" };
                // The tasks come first, so the numbers of the others are those of the last tasks.
                let numbers = if table == "postroom_tasks" {
                    numbers.clone()
                } else {
                    format!("(SELECT id AS n FROM postroom_tasks ORDER BY id DESC LIMIT {now})")
                };
                let insert = format!(
                    "INSERT INTO {table} SELECT {} FROM {numbers} n CROSS JOIN {table} s ON s.{key} = 1",
                    values.join(", ")
                );
                sqlx::query(AssertSqlSafe(insert)).execute(&mut conn).await.expect("it inserts");
            }
            sqlx::query("COMMIT").execute(&mut conn).await.expect("it commits");
            left -= now;
        }
        conn.close().await.expect("it closes");
    }
}
