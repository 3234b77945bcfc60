//! SQLite files.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, SqliteConnection};

use super::Written;

const TABLES: [&str; 5] = ["tasks", "definitions", "steps", "edges", "history"];

pub(crate) struct Sqlite {
    path: PathBuf,
}

impl Sqlite {
    pub(super) fn new(folder: &Path) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self {
            path: folder.join(format!("{number}.db")),
        }
    }

    pub(super) fn path(&self) -> &str {
        self.path.to_str().expect("a path of text")
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

    pub(super) async fn pair(&self, query: &str) -> (i64, i64) {
        let mut conn = self.connect().await;
        sqlx::query_as(AssertSqlSafe(query.to_owned()))
            .fetch_one(&mut conn)
            .await
            .expect("it can be read")
    }

    /// The size of the log, while `reader` keeps it from being used again.
    pub(crate) fn log_size(&self) -> u64 {
        let log = self.path.with_extension("db-wal");
        std::fs::metadata(log).map_or(0, |metadata| metadata.len())
    }

    /// Counts written rows from now on, in a table of the database.
    pub(crate) async fn count_rows(&self) {
        let mut conn = self.connect().await;
        conn.execute("CREATE TABLE bench_rows (n INTEGER NOT NULL)")
            .await
            .expect("a table");
        conn.execute("INSERT INTO bench_rows VALUES (0)")
            .await
            .expect("a row");
        for table in TABLES {
            for event in ["INSERT", "UPDATE", "DELETE"] {
                let trigger = format!(
                    "CREATE TRIGGER bench_{table}_{event} AFTER {event} ON postroom_{table}
                     BEGIN UPDATE bench_rows SET n = n + 1; END"
                );
                conn.execute(AssertSqlSafe(trigger))
                    .await
                    .expect("a trigger");
            }
        }
    }

    pub(crate) async fn rows(&self) -> Written {
        let (rows, _) = self.pair("SELECT n, 0 FROM bench_rows").await;
        Written {
            rows: u64::try_from(rows).unwrap_or(0),
            log_bytes: 0,
        }
    }

    pub(super) async fn fill(&self, count: usize) {
        let mut conn = self.connect().await;
        let columns =
            |table: &str| AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')"));
        let mut left = count;
        while left > 0 {
            let now = left.min(20_000);
            let numbers = format!(
                "(WITH RECURSIVE n (n) AS (SELECT (SELECT max(id) FROM postroom_tasks) + 1 UNION ALL SELECT n + 1 FROM n \
                 LIMIT {now}) SELECT n FROM n)"
            );
            sqlx::query("BEGIN IMMEDIATE")
                .execute(&mut conn)
                .await
                .expect("it begins");
            for table in TABLES {
                let table = format!("postroom_{table}");
                let names: Vec<(String,)> = sqlx::query_as(columns(&table))
                    .fetch_all(&mut conn)
                    .await
                    .expect("it has columns");
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
                let key = if table == "postroom_tasks" {
                    "id"
                } else {
                    "task_id"
                };
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
                sqlx::query(AssertSqlSafe(insert))
                    .execute(&mut conn)
                    .await
                    .expect("it inserts");
            }
            sqlx::query("COMMIT")
                .execute(&mut conn)
                .await
                .expect("it commits");
            left -= now;
        }
        conn.close().await.expect("it closes");
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        for suffix in ["db", "db-wal", "db-shm"] {
            // What is not there need not be removed; the folder goes away in any case.
            let _ = std::fs::remove_file(self.path.with_extension(suffix));
        }
    }
}
