//! What the failure of one step means for the others.

use super::StepCounts;
use super::machine::named;

named! {
    /// What the failure of one step means for the others (O8).
    #[derive(Default)]
    FailurePolicy {
        /// Independent branches go on; only the descendants of what failed are not reached.
        #[default]
        Continue = "continue",
        /// Nothing new starts, steps that run are told to stop, and the rest is cancelled.
        FailFast = "fail_fast",
    }
}

impl FailurePolicy {
    /// The policy of this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|policy| policy.as_str() == name)
    }

    /// Whether a task with such steps starts nothing more and stops what runs.
    pub const fn stops(self, counts: &StepCounts) -> bool {
        matches!(self, Self::FailFast) && counts.failed > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o08_only_a_failure_under_fail_fast_stops_the_others() {
        let failed = StepCounts {
            failed: 1,
            running: 2,
            ..StepCounts::default()
        };
        let fine = StepCounts {
            running: 2,
            ..StepCounts::default()
        };
        assert!(FailurePolicy::FailFast.stops(&failed));
        assert!(!FailurePolicy::FailFast.stops(&fine));
        assert!(!FailurePolicy::Continue.stops(&failed));
    }

    #[test]
    fn names_are_read_back() {
        for &policy in FailurePolicy::ALL {
            assert_eq!(FailurePolicy::from_name(policy.as_str()), Some(policy));
        }
        assert_eq!(FailurePolicy::from_name("stop"), None);
        assert_eq!(FailurePolicy::default(), FailurePolicy::Continue);
    }
}
