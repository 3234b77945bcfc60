//! What can go wrong with a store.

use std::error::Error;
use std::time::Duration;

use uuid::Uuid;

/// A store could not do what it was asked. Refusals that belong to the work itself (a stale completion, a
/// duplicate submission) are answers, not errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database URL cannot be understood.
    #[error("database URL {url:?}: {problem}")]
    BadUrl {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The database cannot be opened.
    #[error("cannot open the database {database}: {source}")]
    Open {
        /// Which one.
        database: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database was made by another version of this crate.
    #[error(
        "database {database} has schema version {found}, this program knows version {known}: {advice}"
    )]
    SchemaVersion {
        /// Which one.
        database: String,
        /// Its version.
        found: i64,
        /// The newest version known here.
        known: i64,
        /// What to do.
        advice: &'static str,
    },
    /// Another process held the database for longer than the bound.
    #[error("the database {database} was locked by another process for longer than {waited_ms} ms")]
    Busy {
        /// Which one.
        database: String,
        /// How long it was tried.
        waited_ms: u64,
    },
    /// The database could not be reached for longer than the bound. Whether the intent was carried out is not
    /// known; it may be repeated safely.
    #[error("the database {database} could not be reached for {waited_ms} ms: {source}")]
    Unavailable {
        /// Which one.
        database: String,
        /// How long it was tried.
        waited_ms: u64,
        /// Why it could not be reached.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database has kept failing and is left alone for a while: nothing was tried. See
    /// [`OrchestrationConfig::breaker_failures`](crate::orchestration::OrchestrationConfig::breaker_failures).
    #[error(
        "the database has failed {failures} times in a row, last with: {last}; try again in {retry_after:?}"
    )]
    CircuitOpen {
        /// How often.
        failures: u32,
        /// When it is tried next: this long from now.
        retry_after: Duration,
        /// What it said the last time.
        last: String,
    },
    /// A statement failed.
    #[error("the database failed while it should {intent}: {source}")]
    Failed {
        /// What was being done.
        intent: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The task could never be run or never end. It was not stored; the rest of its batch was.
    #[error("the task {task_uuid} cannot be stored: {problem}")]
    Invalid {
        /// Which task.
        task_uuid: Uuid,
        /// What is wrong with it.
        problem: String,
    },
    /// What is stored cannot be understood.
    #[error("the database holds something that cannot be understood: {what}")]
    Corrupt {
        /// What and where.
        what: String,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. }
                | Self::Unavailable { .. }
                | Self::CircuitOpen { .. }
                | Self::Failed { .. }
        )
    }

    /// How long to wait before the call is tried at all, if it was not: see [`CircuitOpen`](Self::CircuitOpen).
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::CircuitOpen { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// Whether it says that the database cannot do its work for anybody at the moment: it is not there, it is
    /// locked, its disk is full, it is [left alone](Self::CircuitOpen). A refusal of what one caller asked for does
    /// not.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::Unavailable { .. }
            | Self::Open { .. }
            | Self::CircuitOpen { .. } => true,
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            Self::Failed { source, .. } => source
                .downcast_ref::<sqlx::Error>()
                .is_some_and(super::sql::is_outage),
            _ => false,
        }
    }
}
