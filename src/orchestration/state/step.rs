//! The states of a step.

use std::str::FromStr;

use super::machine::{self, IllegalTransition, UnknownState, named};

named! {
    /// Where a step stands.
    StepState {
        /// Waits for its dependencies.
        Pending = "pending",
        /// Can be claimed.
        Ready = "ready",
        /// Claimed: a process holds a lease on it.
        Running = "running",
        /// It can be claimed at its due time: its last attempt failed, or its task is to run later.
        RetryWait = "retry_wait",
        /// Done; its result is kept.
        Complete = "complete",
        /// Failed for good. Its descendants are not reached.
        Failed = "failed",
        /// Not needed; its dependents go on without it.
        Skipped = "skipped",
        /// Ended with its task.
        Cancelled = "cancelled",
        /// Declared done by an operator.
        ResolvedManually = "resolved_manually",
    }
}

named! {
    /// What happens to a step.
    StepEvent {
        /// Its last dependency was satisfied.
        DependenciesMet = "have its dependencies met",
        /// A process takes a lease on it.
        Claim = "be claimed",
        /// The holder of the lease hands in a result.
        Complete = "complete",
        /// An attempt failed and there is to be another one.
        RetryLater = "be retried later",
        /// It failed for good.
        Fail = "fail",
        /// The lease ran out, was taken away, or was given back.
        LeaseLost = "lose its lease",
        /// It is not needed.
        Skip = "be skipped",
        /// Its task was cancelled.
        Cancel = "be cancelled",
        /// An operator has it run again; its dependencies are met.
        Reset = "be reset",
        /// An operator has it run again, once its dependencies are met again.
        ResetToWait = "be reset to wait",
        /// An operator hands in a result for it.
        CompleteManually = "be completed by hand",
        /// An operator declares it done.
        ResolveManually = "be resolved manually",
    }
}

/// Every legal transition of a step: from, event, to.
pub const STEP_TRANSITIONS: &[(StepState, StepEvent, StepState)] = {
    use StepEvent as E;
    use StepState as S;
    &[
        (S::Pending, E::DependenciesMet, S::Ready),
        (S::Pending, E::Skip, S::Skipped),
        (S::Pending, E::Cancel, S::Cancelled),
        (S::Pending, E::ResetToWait, S::Pending),
        (S::Pending, E::ResolveManually, S::ResolvedManually),
        (S::Ready, E::Claim, S::Running),
        (S::Ready, E::Skip, S::Skipped),
        (S::Ready, E::Cancel, S::Cancelled),
        (S::Ready, E::Reset, S::Ready),
        (S::Ready, E::ResetToWait, S::Pending),
        (S::Ready, E::CompleteManually, S::Complete),
        (S::Ready, E::ResolveManually, S::ResolvedManually),
        (S::Running, E::Complete, S::Complete),
        (S::Running, E::RetryLater, S::RetryWait),
        (S::Running, E::Fail, S::Failed),
        (S::Running, E::LeaseLost, S::Ready),
        (S::Running, E::Cancel, S::Cancelled),
        (S::Running, E::CompleteManually, S::Complete),
        (S::Running, E::ResolveManually, S::ResolvedManually),
        (S::RetryWait, E::Claim, S::Running),
        (S::RetryWait, E::Cancel, S::Cancelled),
        (S::RetryWait, E::Reset, S::Ready),
        (S::RetryWait, E::ResetToWait, S::Pending),
        (S::RetryWait, E::CompleteManually, S::Complete),
        (S::RetryWait, E::ResolveManually, S::ResolvedManually),
        (S::Complete, E::Reset, S::Ready),
        (S::Complete, E::ResetToWait, S::Pending),
        (S::Failed, E::Reset, S::Ready),
        (S::Failed, E::ResetToWait, S::Pending),
        (S::Failed, E::CompleteManually, S::Complete),
        (S::Failed, E::ResolveManually, S::ResolvedManually),
        (S::Skipped, E::Reset, S::Ready),
        (S::Skipped, E::ResetToWait, S::Pending),
        (S::Cancelled, E::Reset, S::Ready),
        (S::Cancelled, E::ResetToWait, S::Pending),
        (S::ResolvedManually, E::Reset, S::Ready),
        (S::ResolvedManually, E::ResetToWait, S::Pending),
    ]
};

impl StepState {
    /// Whether nothing more happens to the step by itself.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Complete
                | Self::Failed
                | Self::Skipped
                | Self::Cancelled
                | Self::ResolvedManually
        )
    }

    /// Whether the steps that depend on it may go on.
    pub const fn satisfies_dependents(self) -> bool {
        matches!(
            self,
            Self::Complete | Self::Skipped | Self::ResolvedManually
        )
    }

    /// Whether the step is being worked on or will be by itself: ready, running, or waiting for a retry.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Ready | Self::Running | Self::RetryWait)
    }

    /// The state that `event` leads to.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] if the event is not legal in this state.
    pub fn next(self, event: StepEvent) -> Result<Self, IllegalTransition> {
        machine::next("step", STEP_TRANSITIONS, self, event)
    }
}

impl FromStr for StepState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        machine::parse("step", Self::ALL, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules in words, written apart from the table: every pair of state and event is held against them.
    fn expected(state: StepState, event: StepEvent) -> Option<StepState> {
        use StepEvent as E;
        use StepState as S;
        let unfinished = !state.is_terminal();
        let (legal, target) = match event {
            E::DependenciesMet => (state == S::Pending, S::Ready),
            E::Claim => (state == S::Ready || state == S::RetryWait, S::Running),
            // Only what runs can have an outcome or lose a lease.
            E::Complete => (state == S::Running, S::Complete),
            E::RetryLater => (state == S::Running, S::RetryWait),
            E::Fail => (state == S::Running, S::Failed),
            E::LeaseLost => (state == S::Running, S::Ready),
            // Only what has not started can turn out not to be needed.
            E::Skip => (state == S::Pending || state == S::Ready, S::Skipped),
            E::Cancel => (unfinished, S::Cancelled),
            // A lease is never taken away by a reset, and what waits for others waits on.
            E::Reset => (state != S::Running && state != S::Pending, S::Ready),
            E::ResetToWait => (state != S::Running, S::Pending),
            // A result stands only where it could have come from a handler.
            E::CompleteManually => (state.is_active() || state == S::Failed, S::Complete),
            E::ResolveManually => (unfinished || state == S::Failed, S::ResolvedManually),
        };
        legal.then_some(target)
    }

    #[test]
    fn every_pair_of_state_and_event_does_what_the_rules_say() {
        for &state in StepState::ALL {
            for &event in StepEvent::ALL {
                assert_eq!(
                    state.next(event).ok(),
                    expected(state, event),
                    "{state} {event}"
                );
            }
        }
    }

    #[test]
    fn no_transition_stands_twice_in_the_table() {
        for (position, (from, event, _)) in STEP_TRANSITIONS.iter().enumerate() {
            let again = STEP_TRANSITIONS[position + 1..]
                .iter()
                .any(|(other, trigger, _)| other == from && trigger == event);
            assert!(!again, "{from} {event}");
        }
    }

    #[test]
    fn a_state_is_pending_active_or_terminal_and_only_one_of_them() {
        for &state in StepState::ALL {
            let kinds = [
                state == StepState::Pending,
                state.is_active(),
                state.is_terminal(),
            ];
            assert_eq!(kinds.iter().filter(|kind| **kind).count(), 1, "{state}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for &state in StepState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{state}\""));
            assert_eq!(serde_json::from_str::<StepState>(&json).unwrap(), state);
        }
    }
}
