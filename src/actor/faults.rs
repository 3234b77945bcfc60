//! Faults that a test injects into an actor.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Faults to be injected into an actor, by [`Builder::faults`](super::Builder::faults).
///
/// Calls are counted from 1, over all incarnations.
#[derive(Debug, Default)]
pub struct Faults {
    panics: BTreeSet<u64>,
    start_panics: BTreeSet<u64>,
    slow_start: Option<Duration>,
    handled: AtomicU64,
    started: AtomicU64,
}

impl Faults {
    /// No faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The `n`th call of a handler panics, instead of running the handler.
    #[must_use]
    pub fn panic_on(mut self, n: u64) -> Self {
        self.panics.insert(n);
        self
    }

    /// The `n`th start panics, instead of running `started`.
    #[must_use]
    pub fn panic_on_start(mut self, n: u64) -> Self {
        self.start_panics.insert(n);
        self
    }

    /// Every start takes so much longer. The start deadline counts it.
    #[must_use]
    pub fn slow_start(mut self, by: Duration) -> Self {
        self.slow_start = Some(by);
        self
    }

    pub(super) fn is_none(&self) -> bool {
        self.panics.is_empty() && self.start_panics.is_empty() && self.slow_start.is_none()
    }

    pub(super) fn before_handler(&self) {
        let n = self.handled.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(!self.panics.contains(&n), "injected fault: call {n}");
    }

    pub(super) async fn before_start(&self) {
        let n = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(by) = self.slow_start {
            tokio::time::sleep(by).await;
        }
        assert!(!self.start_panics.contains(&n), "injected fault: start {n}");
    }
}
