//! How much there is to do.

use std::time::Duration;

/// What waits and what runs, in the whole database. Every count stops at [`MOST`](Self::MOST), so that it costs the
/// same however much there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Steps that wait to be claimed; those of paused tasks do not.
    pub ready: u32,
    /// Steps that run.
    pub running: u32,
    /// Steps that wait for their time: for a retry, or because their task is to run later.
    pub retry_wait: u32,
    /// Tasks whose steps no live process can run.
    pub blocked_tasks: u32,
    /// Processes that are known.
    pub processes: u32,
    /// How long ago the oldest task with a step that waits to be claimed was submitted; of the first
    /// [`MOST`](Self::MOST) such steps.
    pub oldest_ready: Option<Duration>,
}

impl Census {
    /// As many are counted; there may be more.
    pub const MOST: u32 = 10_000;

    /// Whether nothing waits and nothing runs: there is nothing to claim, to take back, or to unblock.
    pub fn is_quiet(&self) -> bool {
        self.ready == 0 && self.running == 0 && self.retry_wait == 0 && self.blocked_tasks == 0
    }

    /// From what a database counted, and the times, in milliseconds, of the oldest task and of the count.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(super) fn counted(counts: [i64; 5], oldest: Option<i64>, now: i64) -> Self {
        // The statements stop counting at `MOST`.
        let [ready, running, retry_wait, blocked_tasks, processes] =
            counts.map(|count| u32::try_from(count).unwrap_or(Self::MOST));
        Self {
            ready,
            running,
            retry_wait,
            blocked_tasks,
            processes,
            oldest_ready: oldest.map(|at| age(at, now)),
        }
    }
}

/// A clock that was set back makes nothing younger than nothing.
pub(super) fn age(at: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(now - at).unwrap_or(0))
}
