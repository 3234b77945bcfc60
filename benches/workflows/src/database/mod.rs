//! The databases under test: how each is opened by the engine and by hand, what is counted in it, and how it is
//! filled with finished tasks.

mod postgres;
mod sqlite;

use std::path::Path;
use std::sync::Arc;

use postroom::orchestration::store::Store;
use postroom::orchestration::store::postgres::{PostgresOptions, PostgresStore};
use postroom::orchestration::store::sqlite::{SqliteOptions, SqliteStore};

pub(crate) use postgres::{Postgres, Server};
pub(crate) use sqlite::Sqlite;

/// One empty database, gone with this.
pub(crate) enum Database {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// A store with its count of commits.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    commits: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Opened {
    pub(crate) async fn open(url: &str) -> Self {
        if url.starts_with("postgres") {
            let store = PostgresStore::open(url, PostgresOptions::default()).await;
            let store = Arc::new(store.expect("the database opens"));
            Self {
                store: Arc::clone(&store) as _,
                commits: Box::new(move || store.commits()),
            }
        } else {
            let store = SqliteStore::open(url, SqliteOptions::default()).await;
            let store = Arc::new(store.expect("the database opens"));
            Self {
                store: Arc::clone(&store) as _,
                commits: Box::new(move || store.commits()),
            }
        }
    }

    pub(crate) fn commits(&self) -> u64 {
        (self.commits)()
    }
}

/// What was written to a database, in all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    pub(crate) rows: u64,
    pub(crate) log_bytes: u64,
}

/// Where databases are made.
pub(crate) enum Kind {
    Sqlite(tempfile::TempDir),
    Postgres(Server),
}

impl Kind {
    pub(crate) fn sqlite(folder: Option<&Path>) -> Self {
        let scratch = match folder {
            Some(folder) => tempfile::tempdir_in(folder),
            None => tempfile::tempdir(),
        };
        Self::Sqlite(scratch.expect("a scratch folder can be made"))
    }

    pub(crate) fn postgres() -> Self {
        Self::Postgres(Server::start())
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// A new one.
    pub(crate) async fn database(&self) -> Database {
        match self {
            Self::Sqlite(folder) => Database::Sqlite(Sqlite::new(folder.path())),
            Self::Postgres(server) => Database::Postgres(server.database().await),
        }
    }
}

impl Database {
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Sqlite(database) => database.path(),
            Self::Postgres(database) => database.url(),
        }
    }

    pub(crate) async fn open(&self) -> Opened {
        Opened::open(self.url()).await
    }

    /// Makes the tables.
    pub(crate) async fn prepare(&self) {
        self.open().await.store.close().await;
    }

    /// The number of the last task, and how many of those after `last` have not ended.
    pub(crate) async fn unfinished(&self, last: i64) -> (i64, i64) {
        const COUNT: &str = "SELECT coalesce(max(id), 0), coalesce(sum(CASE WHEN state = 'complete' THEN 0 ELSE 1 END), 0)
                             FROM";
        match self {
            Self::Sqlite(database) => {
                database
                    .pair(&format!("{COUNT} postroom_tasks WHERE id > {last}"))
                    .await
            }
            Self::Postgres(database) => {
                database
                    .pair(&format!("{COUNT} postroom.tasks WHERE id > {last}"))
                    .await
            }
        }
    }

    /// Puts finished tasks into the tables: copies of the only one there is.
    pub(crate) async fn fill(&self, count: usize) {
        match self {
            Self::Sqlite(database) => database.fill(count).await,
            Self::Postgres(database) => database.fill(count).await,
        }
    }
}
