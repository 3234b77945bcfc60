//! Settings.

use std::time::Duration;

/// Settings of a [`SqliteStore`](super::SqliteStore).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct SqliteOptions {
    pub(super) busy_timeout: Duration,
    pub(super) readers: u32,
    pub(super) writer_capacity: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            readers: 4,
            writer_capacity: 1024,
        }
    }
}

impl SqliteOptions {
    /// How long to try when another process holds the database, before
    /// [`StoreError::Busy`](crate::orchestration::store::StoreError::Busy). Default: 5 s.
    pub fn busy_timeout(mut self, limit: Duration) -> Self {
        self.busy_timeout = limit;
        self
    }

    /// How many connections may read at a time; at least 1. Default: 4.
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// How many intents may wait for the writer; at least 1. Callers beyond it wait their turn.
    /// Default: 1,024.
    pub fn writer_capacity(mut self, capacity: usize) -> Self {
        self.writer_capacity = capacity.max(1);
        self
    }
}
