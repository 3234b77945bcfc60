//! Making connections, and the file.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqliteConnection};

use super::fault::is_busy;
use super::options::SqliteOptions;
use crate::orchestration::store::StoreError;

/// Which file, and how it is used.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) options: SqliteOptions,
}

/// The database's clock, in milliseconds.
macro_rules! clock {
    () => {
        "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)"
    };
}
pub(super) use clock;

impl Place {
    /// As it is shown to people.
    pub(super) fn name(&self) -> String {
        let path = self.path.strip_prefix("./").unwrap_or(&self.path);
        path.display().to_string()
    }

    fn connect_options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(false)
            .foreign_keys(true)
            // Whole answers are taken at once: the two threads need not meet for every few rows.
            .row_buffer_size(1_024)
            .busy_timeout(self.options.busy_timeout)
            .statement_cache_capacity(256)
            .disable_statement_logging()
    }

    /// A connection that may write: WAL, and every commit is on disk before it is answered.
    pub(super) async fn writer(&self) -> Result<SqliteConnection, StoreError> {
        let options = self
            .connect_options()
            // Waiting for the lock is done in small random steps, by the writer.
            .busy_timeout(Duration::ZERO)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // In KiB: what is live is not read again with every transaction.
            .pragma("cache_size", "-65536")
            // Pages: the busy ones are copied into the file once for many times that they are written.
            .pragma("wal_autocheckpoint", "4000")
            .pragma("temp_store", "MEMORY");
        let since = Instant::now();
        loop {
            match options.connect().await {
                Err(error) if is_busy(&error) => self.wait(since).await?,
                connected => return connected.map_err(|error| self.cannot_open(error)),
            }
        }
    }

    /// Connections that can only read. None is made before it is needed.
    pub(super) fn readers(&self) -> SqlitePool {
        SqlitePoolOptions::new()
            .max_connections(self.options.readers)
            .acquire_timeout(self.options.busy_timeout)
            .connect_lazy_with(self.connect_options().read_only(true))
    }

    /// Lets some time pass for whoever holds the lock.
    ///
    /// Short and random, so that a process that commits all the time does not always win; bounded by the
    /// clock of the machine, which virtual time does not move.
    pub(super) async fn wait(&self, since: Instant) -> Result<(), StoreError> {
        let waited = since.elapsed();
        if waited >= self.options.busy_timeout {
            return Err(StoreError::Busy {
                database: self.name(),
                waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            });
        }
        tokio::time::sleep(Duration::from_micros(fastrand::u64(300..4_000))).await;
        Ok(())
    }

    pub(super) fn cannot_open(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Open {
            database: self.name(),
            source: source.into(),
        }
    }

    /// Makes the file if there is none, readable by its owner alone. `SQLite` gives the same rights to the files
    /// it puts beside it.
    pub(super) async fn create(&self) -> Result<(), StoreError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        if !tokio::fs::try_exists(folder).await.unwrap_or(false) {
            let problem = format!("the folder {} does not exist", folder.display());
            return Err(self.cannot_open(problem));
        }
        let mut file = tokio::fs::OpenOptions::new();
        file.write(true).create(true).truncate(false);
        #[cfg(unix)]
        file.mode(0o600);
        let made = file.open(&self.path).await;
        made.map(drop).map_err(|error| self.cannot_open(error))
    }
}
