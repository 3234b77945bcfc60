//! Where the processes meet: all that the tests know of the difference between the databases.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use postroom::orchestration::store::Store;
use postroom::orchestration::store::postgres::{PostgresOptions, PostgresStore};
use postroom::orchestration::store::sqlite::{SqliteOptions, SqliteStore};
use sqlx::{Connection, Executor, PgConnection, Row};
use tempfile::TempDir;

use super::cluster::{self, Cluster, Database};

/// Tells a process of this test where to work.
const URL: &str = "POSTROOM_TEST_PROCESSES_URL";

pub(crate) enum Place {
    File(TempDir),
    Server {
        database: Database,
        /// A server of its own, which may be restarted.
        own: Option<Cluster>,
    },
}

impl Place {
    pub(crate) fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    /// A database on the server that the tests share.
    pub(crate) async fn server() -> Self {
        let database = cluster::database().await;
        Self::Server {
            database,
            own: None,
        }
    }

    pub(crate) async fn own_server() -> Self {
        let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
        Self::Server {
            database: cluster.database().await,
            own: Some(cluster),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "sqlite",
            Self::Server { .. } => "postgres",
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::File(folder) => folder.path().join("work.db").display().to_string(),
            Self::Server { database, .. } => database.to_string(),
        }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        open(&self.url()).await
    }

    /// As if the machine of the database had lost power; it comes up again at once.
    pub(crate) fn restart(&self) {
        if let Self::Server { own: Some(own), .. } = self {
            tokio::task::block_in_place(|| {
                own.down();
                own.up();
            });
        }
    }

    /// Cuts about half of the connections.
    pub(crate) async fn cut(&self) {
        let mut by_hand = PgConnection::connect(&self.url()).await.unwrap();
        by_hand
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE application_name = 'postroom' AND datname = current_database() AND random() < 0.5",
            )
            .await
            .unwrap();
        by_hand.close().await.unwrap();
    }

    /// How many locks are held by sessions, beyond their transactions.
    pub(crate) async fn session_locks(&self) -> i64 {
        let Self::Server { database, .. } = self else {
            return 0;
        };
        let mut by_hand = PgConnection::connect(database).await.unwrap();
        let locks = by_hand
            .fetch_one(
                "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                 WHERE l.locktype = 'advisory' AND d.datname = current_database()",
            )
            .await
            .unwrap();
        by_hand.close().await.unwrap();
        locks.get(0)
    }

    /// A process that runs a test of this program as its main function, on this database.
    pub(crate) fn process(&self, test: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "--nocapture", test])
            .env(URL, self.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }
}

/// The database of a process that [`Place::process`] made; without one the test has nothing to do.
pub(crate) fn given() -> Option<String> {
    std::env::var(URL).ok()
}

pub(crate) async fn open(url: &str) -> Arc<dyn Store> {
    let long = Duration::from_mins(1);
    if url.starts_with("postgres:") {
        let options = PostgresOptions::default().patience(long);
        Arc::new(PostgresStore::open(url, options).await.unwrap())
    } else {
        let options = SqliteOptions::default().busy_timeout(long);
        Arc::new(SqliteStore::open(url, options).await.unwrap())
    }
}

/// Ends this process when the one that started it lets go of it, in whatever way.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let ended = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(i32::from(ended.is_err()))
    });
}

/// Hands every whole line that a process says to `hear`, up to its end.
pub(crate) fn listen(child: &mut Child, hear: impl FnMut(&str) + Send + 'static) -> JoinHandle<()> {
    fn lines(mut said: BufReader<ChildStdout>, mut hear: impl FnMut(&str)) {
        let mut line = String::new();
        // A line that a kill has cut short does not count.
        while said.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            hear(line.trim_end());
            line.clear();
        }
    }
    let said = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || lines(said, hear))
}
