//! Whether an actor fails too often: a sliding window over its restarts, as in OTP.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// The restarts inside the window that ends now.
#[derive(Debug)]
pub(crate) struct Intensity {
    limit: u32,
    window: Duration,
    recent: VecDeque<Instant>,
}

impl Intensity {
    pub(crate) const fn new(limit: u32, window: Duration) -> Self {
        Self {
            limit,
            window,
            recent: VecDeque::new(),
        }
    }

    /// Records a failure. `Ok(n)`: a restart is allowed, and `n` others lie inside the window.
    /// `Err`: it would be one too many.
    pub(crate) fn record(&mut self, now: Instant) -> Result<u32, ()> {
        while self
            .recent
            .front()
            .is_some_and(|then| now.duration_since(*then) > self.window)
        {
            self.recent.pop_front();
        }
        let before = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        if before >= self.limit {
            return Err(());
        }
        self.recent.push_back(now);
        Ok(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r13_intensity_counts_inside_a_sliding_window() {
        let start = Instant::now();
        let mut intensity = Intensity::new(2, Duration::from_secs(10));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(intensity.record(at(0)), Ok(0));
        assert_eq!(intensity.record(at(9)), Ok(1));
        assert_eq!(
            intensity.record(at(10)),
            Err(()),
            "both earlier ones still lie in the window"
        );
        assert_eq!(intensity.record(at(11)), Ok(1), "the first has left it");
    }

    #[test]
    fn r13_slow_failures_never_exceed_the_intensity() {
        let start = Instant::now();
        let mut intensity = Intensity::new(5, Duration::from_secs(5));
        for failure in 0..100 {
            let now = start + Duration::from_secs(4 * failure);
            assert!(
                intensity.record(now).is_ok(),
                "one failure in four seconds, the {failure}th"
            );
        }
    }

    #[test]
    fn r13_intensity_zero_allows_no_restart() {
        assert_eq!(
            Intensity::new(0, Duration::from_secs(1)).record(Instant::now()),
            Err(())
        );
    }
}
