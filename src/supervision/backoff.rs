//! How long to wait before a restart.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The pause before each restart: it doubles from `first` up to `longest`, and each pause is drawn
/// evenly between zero and that value ("full jitter"), so that actors which failed together do not
/// come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// No pause at all.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            first: Duration::ZERO,
            longest: Duration::ZERO,
        }
    }

    /// Pauses that double from `first` up to `longest`.
    #[must_use]
    pub const fn exponential(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The largest pause before the `n`th restart in a row, counted from 0.
    #[must_use]
    pub fn ceiling(&self, n: u32) -> Duration {
        let factor = 2_u32.checked_pow(n).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// A pause drawn for the `n`th restart in a row.
    pub(crate) fn draw(&self, n: u32) -> Duration {
        let ceiling = self.ceiling(n);
        if ceiling.is_zero() {
            return ceiling;
        }
        // Each `RandomState` has fresh keys, so this is a random number without a dependency. The
        // fraction needs no more than 32 bits.
        #[expect(clippy::cast_possible_truncation)]
        let random = RandomState::new().hash_one(n) as u32;
        let seconds = ceiling.as_secs_f64() * f64::from(random) / f64::from(u32::MAX);
        // Rounded up, the longest durations are too long.
        Duration::try_from_secs_f64(seconds).map_or(ceiling, |drawn| drawn.min(ceiling))
    }
}

impl Default for Backoff {
    /// 100 ms doubling to 10 s.
    fn default() -> Self {
        Self::exponential(Duration::from_millis(100), Duration::from_secs(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r13_backoff_doubles_up_to_its_cap() {
        let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(1));
        let ceilings: Vec<_> = (0..6).map(|n| backoff.ceiling(n).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.ceiling(u32::MAX), Duration::from_secs(1));
    }

    #[test]
    fn r13_backoff_draws_spread_below_the_ceiling() {
        let backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(1));
        let draws: Vec<_> = (0..200).map(|_| backoff.draw(0)).collect();
        assert!(draws.iter().all(|draw| *draw <= Duration::from_secs(1)));
        assert!(draws.iter().any(|draw| *draw < Duration::from_millis(500)));
        assert!(draws.iter().any(|draw| *draw > Duration::from_millis(500)));
    }
}
