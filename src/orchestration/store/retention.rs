//! Deleting what has ended long ago.

use std::time::Duration;

/// Which tasks to delete, one bounded batch at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupRequest {
    /// Tasks in a final state that ended at least this long ago, by the store's clock.
    pub older_than: Duration,
    /// Goes on behind the place where the batch before ended ([`CleanupReport::next`]); `None`: from the start.
    pub after: Option<u64>,
    /// At most this many tasks are looked at.
    pub limit: u32,
    /// Only count them.
    pub dry_run: bool,
}

/// What one batch deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanupReport {
    /// How many tasks were deleted (or would be), with their steps and their history.
    pub tasks: u64,
    /// Where the next batch goes on; `None` if everything has been looked at.
    pub next: Option<u64>,
}
