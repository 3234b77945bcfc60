//! Restart policies.

use super::{Backoff, Intensity};
use std::time::Duration;

/// When an actor made by a factory is started again, how often, and how soon.
///
/// An actor given as a plain value has no policy: it is temporary, and is never restarted.
///
/// A stop, drain or kill asked through a handle, a registry or [`Context::drain`] and
/// [`Context::kill`] is final under every policy. [`Context::stop`] ends the incarnation that calls it.
///
/// ```
/// use postroom::supervision::{Backoff, RestartPolicy};
/// use std::time::Duration;
///
/// let policy = RestartPolicy::permanent()
///     .intensity(5, Duration::from_secs(10))
///     .backoff(Backoff::exponential(Duration::from_millis(100), Duration::from_secs(10)));
/// # let _ = policy;
/// ```
///
/// [`Context::stop`]: crate::actor::Context::stop
/// [`Context::drain`]: crate::actor::Context::drain
/// [`Context::kill`]: crate::actor::Context::kill
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct RestartPolicy {
    permanent: bool,
    limit: u32,
    window: Duration,
    backoff: Backoff,
}

impl RestartPolicy {
    const fn new(permanent: bool) -> Self {
        Self {
            permanent,
            limit: 5,
            window: Duration::from_secs(10),
            backoff: Backoff::exponential(Duration::from_millis(100), Duration::from_secs(10)),
        }
    }

    /// Restarts after a panic, after a later start that failed, and after the actor stopped itself.
    pub const fn permanent() -> Self {
        Self::new(true)
    }

    /// Restarts after a panic and after a later start that failed.
    pub const fn transient() -> Self {
        Self::new(false)
    }

    /// Gives up when more than `limit` restarts fall into any `window`. Default: 5 in 10 s.
    pub const fn intensity(mut self, limit: u32, window: Duration) -> Self {
        self.limit = limit;
        self.window = window;
        self
    }

    /// The pause before each restart; it grows with the restarts inside the window. Default: 100 ms
    /// doubling to 10 s, with full jitter.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    pub(crate) const fn restarts_after_own_stop(&self) -> bool {
        self.permanent
    }

    pub(crate) const fn counter(&self) -> Intensity {
        Intensity::new(self.limit, self.window)
    }

    pub(crate) const fn window(&self) -> Duration {
        self.window
    }

    pub(crate) const fn limit(&self) -> u32 {
        self.limit
    }

    pub(crate) fn pause(&self, n: u32) -> Duration {
        self.backoff.draw(n)
    }
}
