//! What can go wrong with a store.

use std::error::Error;

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
            Self::Busy { .. } | Self::Unavailable { .. } | Self::Failed { .. }
        )
    }
}
