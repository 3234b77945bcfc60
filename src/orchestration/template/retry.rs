//! How often a failed attempt is repeated, and after how long.

use std::time::Duration;

/// When another attempt follows a failed one (O7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// `false`: one attempt, whatever `max_attempts` says. Default: true.
    pub retryable: bool,
    /// Attempts in all, the first included; 1 to 100. Default: 3, and 1 for `shell` steps.
    pub max_attempts: u32,
    /// How the wait grows from attempt to attempt. Default: exponential.
    pub backoff: Backoff,
    /// The wait after the first attempt, in milliseconds. Default: 1,000.
    pub backoff_base_ms: u64,
    /// The longest wait, in milliseconds; at most 30 days. Default: 30,000.
    pub max_backoff_ms: u64,
}

/// How the wait grows with the number `n` of failed attempts, in multiples of the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// No wait.
    None,
    /// 1, 2, 3, 4, ...
    Linear,
    /// 1, 2, 4, 8, ...
    Exponential,
    /// 1, 1, 2, 3, 5, ...
    Fibonacci,
}

impl Backoff {
    pub(super) const ALL: [Self; 4] =
        [Self::None, Self::Linear, Self::Exponential, Self::Fibonacci];

    /// Its name in templates.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Linear => "linear",
            Self::Exponential => "exponential",
            Self::Fibonacci => "fibonacci",
        }
    }

    fn factor(self, failed_attempts: u32) -> u64 {
        match self {
            Self::None => 0,
            Self::Linear => u64::from(failed_attempts),
            Self::Exponential => 1_u64
                .checked_shl(failed_attempts.saturating_sub(1))
                .unwrap_or(u64::MAX),
            Self::Fibonacci => {
                let (mut current, mut next) = (0_u64, 1_u64);
                // Beyond 93 steps the number no longer fits, and stays at its largest.
                for _ in 0..failed_attempts.min(94) {
                    (current, next) = (next, current.saturating_add(next));
                }
                current
            }
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retryable: true,
            max_attempts: 3,
            backoff: Backoff::Exponential,
            backoff_base_ms: 1_000,
            max_backoff_ms: 30_000,
        }
    }
}

impl RetryPolicy {
    /// The most attempts a policy may allow.
    pub const MAX_ATTEMPTS: u32 = 100;
    /// The longest wait a policy may ask for, in milliseconds: 30 days.
    pub const MAX_BACKOFF_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

    /// [`MAX_BACKOFF_MS`](Self::MAX_BACKOFF_MS) as a duration.
    pub(crate) const MAX_BACKOFF: Duration = Duration::from_millis(Self::MAX_BACKOFF_MS);

    /// What a step that says nothing about retries gets: side effects of shell commands are not repeated
    /// unless somebody has said that they may be.
    pub(super) fn default_for(callable: &str) -> Self {
        Self {
            max_attempts: if callable == "shell" { 1 } else { 3 },
            ..Self::default()
        }
    }

    /// Attempts in all: 1 if not retryable.
    pub fn effective_attempts(&self) -> u32 {
        if self.retryable { self.max_attempts } else { 1 }
    }

    /// How long to wait after the given number of failed attempts (1 or more). With the full wait
    /// `w = min(base x growth, max)`, it lies evenly in `[w/2, w)`: the jitter keeps steps that failed together
    /// from coming back together ("equal jitter", M. Brooker, "Exponential Backoff And Jitter", AWS
    /// Architecture Blog, 2015).
    ///
    /// `random` is a number from 0 up to and without 1; what is outside counts as its nearer end, and NaN as 0.
    pub fn delay(&self, failed_attempts: u32, random: f64) -> Duration {
        let full = self
            .backoff
            .factor(failed_attempts)
            .saturating_mul(self.backoff_base_ms)
            .min(self.max_backoff_ms);
        // NaN would pass through `clamp` to a multiplication that panics.
        let random = if random.is_nan() {
            0.0
        } else {
            random.clamp(0.0, 1.0)
        };
        Duration::from_millis(full).mul_f64(0.5 + random / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_growth_of_each_kind() {
        let factors = |backoff: Backoff| (1..=6).map(|n| backoff.factor(n)).collect::<Vec<_>>();
        assert_eq!(factors(Backoff::None), [0; 6]);
        assert_eq!(factors(Backoff::Linear), [1, 2, 3, 4, 5, 6]);
        assert_eq!(factors(Backoff::Exponential), [1, 2, 4, 8, 16, 32]);
        assert_eq!(factors(Backoff::Fibonacci), [1, 1, 2, 3, 5, 8]);
    }

    #[test]
    fn a_bad_random_number_makes_no_bad_delay() {
        let policy = RetryPolicy::default();
        for random in [f64::NAN, f64::INFINITY, -1.0, 2.0] {
            let delay = policy.delay(1, random);
            assert!((500..=1_000).contains(&delay.as_millis()), "{random}");
        }
        assert!(policy.delay(u32::MAX, 0.5) <= Duration::from_secs(30));
    }

    proptest! {
        #[test]
        fn a_delay_is_never_above_the_maximum_and_never_below_half_of_the_wait(
            attempt in 1_u32..=100, base in 0_u64..100_000, max in 0_u64..100_000, random in 0.0..1.0_f64,
            kind in 0_usize..4,
        ) {
            let policy = RetryPolicy {
                backoff: Backoff::ALL[kind],
                backoff_base_ms: base,
                max_backoff_ms: max,
                ..RetryPolicy::default()
            };
            let full = policy.backoff.factor(attempt).saturating_mul(base).min(max);
            let delay = policy.delay(attempt, random);
            prop_assert!(delay <= Duration::from_millis(max));
            prop_assert!(delay >= Duration::from_millis(full) / 2);
        }
    }
}
