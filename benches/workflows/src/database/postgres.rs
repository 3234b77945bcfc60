//! Databases on a server of our own, every commit durable.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::Written;
use crate::server::cluster;

const TABLES: [&str; 4] = ["tasks", "definitions", "steps", "history"];

/// The server's defaults, which are durable; statements are counted where they are asked for.
const SETTINGS: &str = "
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track = none
";

/// Gone with this process.
pub(crate) struct Server(cluster::Cluster);

impl Server {
    pub(super) fn start() -> Self {
        Self(cluster::Cluster::start_with(SETTINGS))
    }

    pub(super) async fn database(&self) -> Postgres {
        Postgres(self.0.database().await)
    }
}

pub(crate) struct Postgres(cluster::Database);

impl Postgres {
    pub(super) fn url(&self) -> &str {
        &self.0
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.0).await.expect("it connects")
    }

    pub(super) async fn pair(&self, query: &str) -> (i64, i64) {
        let mut conn = self.connect().await;
        let pair = sqlx::query_as(AssertSqlSafe(query.to_owned()))
            .fetch_one(&mut conn)
            .await;
        let _ = conn.close().await;
        pair.expect("it can be read")
    }

    /// Since the database was made. Sessions tell their counts when they end.
    pub(crate) async fn written(&self) -> Written {
        let (rows, log_bytes) = self
            .pair(
                "SELECT (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables
                         WHERE schemaname = 'postroom'),
                        pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint",
            )
            .await;
        let count = |count| u64::try_from(count).unwrap_or(0);
        Written {
            rows: count(rows),
            log_bytes: count(log_bytes),
        }
    }

    /// Counts the statements of sessions that begin from now on.
    pub(crate) async fn count_statements(&self) {
        let mut conn = self.connect().await;
        conn.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            .await
            .expect("the extension");
        let set = format!(
            "ALTER DATABASE {} SET pg_stat_statements.track = 'top'",
            self.0.name()
        );
        conn.execute(AssertSqlSafe(set)).await.expect("it is set");
    }

    /// Statements and transactions so far.
    pub(crate) async fn statements(&self) -> (i64, i64) {
        self.pair(
            "SELECT coalesce(sum(calls) FILTER (WHERE query NOT LIKE '%pg_stat_statements%'), 0)::bigint,
                    coalesce(sum(calls) FILTER (WHERE query ILIKE 'commit%'), 0)::bigint
             FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database()",
        )
        .await
    }

    pub(super) async fn fill(&self, count: usize) {
        let mut conn = self.connect().await;
        for table in TABLES {
            let columns: Vec<(String,)> = sqlx::query_as(
                "SELECT column_name::text FROM information_schema.columns
                 WHERE table_schema = 'postroom' AND table_name = $1 AND is_generated = 'NEVER'
                 ORDER BY ordinal_position",
            )
            .bind(table)
            .fetch_all(&mut conn)
            .await
            .expect("it has columns");
            // The one that is copied is the first; numbers go on behind it.
            let values: Vec<String> = columns
                .iter()
                .map(|(name,)| match (table, name.as_str()) {
                    ("tasks", "id") | (_, "task_id") => "n + 1".to_owned(),
                    ("history", "id") => "nextval('postroom.history_id_seq')".to_owned(),
                    ("tasks", "uuid") => "gen_random_uuid()".to_owned(),
                    ("tasks", "identity" | "content") => {
                        "sha256(uuid_send(gen_random_uuid()))".to_owned()
                    }
                    _ => format!("s.{name}"),
                })
                .collect();
            let names: Vec<String> = columns.into_iter().map(|(name,)| name).collect();
            let key = if table == "tasks" { "id" } else { "task_id" };
            let insert = format!(
                "INSERT INTO postroom.{table} ({}) SELECT {} FROM generate_series(1, {count}) n
                 JOIN postroom.{table} s ON s.{key} = 1",
                names.join(", "),
                values.join(", ")
            );
            conn.execute(AssertSqlSafe(insert))
                .await
                .expect("it inserts");
        }
        let next = format!("SELECT setval('postroom.tasks_id_seq', {})", count + 1);
        conn.execute(AssertSqlSafe(next)).await.expect("it goes on");
        // As it would be some time later.
        for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
            conn.execute(statement).await.expect("it is tidied up");
        }
        conn.close().await.expect("it closes");
    }
}
