//! Settings.

use std::time::Duration;

/// Settings of a [`PostgresStore`](super::PostgresStore).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct PostgresOptions {
    pub(super) connections: u32,
    writers: u32,
    pub(super) patience: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) poll_only: bool,
    pub(super) create: bool,
    pub(super) writer_capacity: usize,
    pub(super) long_claim: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections: 5,
            writers: 3,
            patience: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(10),
            poll_only: false,
            create: true,
            writer_capacity: 1024,
            long_claim: Duration::from_millis(20),
        }
    }
}

impl PostgresOptions {
    /// How many connections there may be, at least 1; the one that listens is not counted. With two or more
    /// each writer keeps one to itself, so that reads and health never wait behind it. Default: 5. In a URL:
    /// `?connections=2`.
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How many transactions may be under way at once, at least 1; each takes a connection for itself, and one
    /// connection is left to read with. More of them use more cores of the server, and share less of the work of a
    /// commit. Default: 3.
    pub fn writers(mut self, writers: u32) -> Self {
        self.writers = writers.max(1);
        self
    }

    /// How many there are with so many connections.
    pub(super) fn writers_in_use(&self) -> u32 {
        self.writers.min(self.connections.saturating_sub(1)).max(1)
    }

    /// How long an intent is tried again, when the server is away or transactions get in each other's way,
    /// before it is answered with an error. Default: 10 s.
    pub fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    /// How long the server works on one statement before it gives up. Default: 10 s.
    pub fn statement_timeout(mut self, limit: Duration) -> Self {
        self.statement_timeout = limit.max(Duration::from_millis(1));
        self
    }

    /// For use behind a pooler that lends connections for one transaction (`PgBouncer` and the like): nothing is
    /// kept in a session, no statement has a name, and nobody listens; what other processes have done is found
    /// by polling. Default: off. In a URL: `?poll_only=true`.
    pub fn poll_only(mut self, poll_only: bool) -> Self {
        self.poll_only = poll_only;
        self
    }

    /// Whether the schema is made in a database that has none; if not, opening that is an error. Default: on.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How many intents may wait for each writer; at least 1. Callers beyond it wait their turn.
    /// Default: 1,024.
    pub fn writer_capacity(mut self, capacity: usize) -> Self {
        self.writer_capacity = capacity.max(1);
        self
    }

    /// A claim that takes this long tells the next ones where it has found the first step. For tests: what claims bring
    /// is the same. Default: 20 ms.
    #[doc(hidden)]
    pub fn long_claim(mut self, long: Duration) -> Self {
        self.long_claim = long;
        self
    }
}
