//! The states of a task.

use std::str::FromStr;

use super::machine::{self, IllegalTransition, UnknownState, named};

named! {
    /// Where a task stands.
    TaskState {
        /// Stored; no step has been claimed in this run.
        Pending = "pending",
        /// A step runs or is ready.
        Running = "running",
        /// Nothing runs or is ready; a due time is waited for, of a retry or of the task itself.
        Waiting = "waiting",
        /// Steps are ready that no live worker can run; the reason says which handler is missing.
        Blocked = "blocked",
        /// Held back by an operator.
        Paused = "paused",
        /// Every step satisfies its dependents. Final, until an operator reruns it.
        Complete = "complete",
        /// Nothing can run any more and a step has failed. Final, until an operator continues it.
        Failed = "failed",
        /// Ended by an operator. Final.
        Cancelled = "cancelled",
        /// Declared done by an operator. Final.
        ResolvedManually = "resolved_manually",
    }
}

named! {
    /// What happens to a task.
    TaskEvent {
        /// A step was claimed.
        Start = "start",
        /// Nothing runs or is ready, a retry is waited for.
        Wait = "wait",
        /// A step is ready again.
        Wake = "wake",
        /// No live worker can run what is ready.
        Block = "block",
        /// A live worker can run what is ready.
        Unblock = "unblock",
        /// An operator holds it back.
        Pause = "pause",
        /// An operator lets it go on.
        Resume = "resume",
        /// Every step satisfies its dependents.
        Complete = "complete",
        /// Nothing can run any more and a step has failed.
        Fail = "fail",
        /// An operator ends it.
        Cancel = "cancel",
        /// An operator continues it after a failure.
        Retry = "retry",
        /// An operator runs it again from one of its steps.
        Rerun = "rerun",
        /// An operator declares it done.
        ResolveManually = "resolve manually",
    }
}

/// Every legal transition of a task: from, event, to.
pub const TASK_TRANSITIONS: &[(TaskState, TaskEvent, TaskState)] = {
    use TaskEvent as E;
    use TaskState as S;
    &[
        (S::Pending, E::Start, S::Running),
        (S::Pending, E::Wait, S::Waiting),
        (S::Pending, E::Block, S::Blocked),
        (S::Pending, E::Pause, S::Paused),
        (S::Pending, E::Complete, S::Complete),
        (S::Pending, E::Fail, S::Failed),
        (S::Pending, E::Cancel, S::Cancelled),
        (S::Pending, E::ResolveManually, S::ResolvedManually),
        (S::Running, E::Wait, S::Waiting),
        (S::Running, E::Block, S::Blocked),
        (S::Running, E::Pause, S::Paused),
        (S::Running, E::Complete, S::Complete),
        (S::Running, E::Fail, S::Failed),
        (S::Running, E::Cancel, S::Cancelled),
        (S::Running, E::ResolveManually, S::ResolvedManually),
        (S::Waiting, E::Start, S::Running),
        (S::Waiting, E::Wake, S::Running),
        (S::Waiting, E::Block, S::Blocked),
        (S::Waiting, E::Pause, S::Paused),
        (S::Waiting, E::Complete, S::Complete),
        (S::Waiting, E::Fail, S::Failed),
        (S::Waiting, E::Cancel, S::Cancelled),
        (S::Waiting, E::ResolveManually, S::ResolvedManually),
        (S::Blocked, E::Start, S::Running),
        (S::Blocked, E::Unblock, S::Running),
        (S::Blocked, E::Wait, S::Waiting),
        (S::Blocked, E::Pause, S::Paused),
        (S::Blocked, E::Complete, S::Complete),
        (S::Blocked, E::Fail, S::Failed),
        (S::Blocked, E::Cancel, S::Cancelled),
        (S::Blocked, E::ResolveManually, S::ResolvedManually),
        (S::Paused, E::Resume, S::Running),
        // Steps that ran when the task was paused may be the last ones.
        (S::Paused, E::Complete, S::Complete),
        (S::Paused, E::Fail, S::Failed),
        (S::Paused, E::Cancel, S::Cancelled),
        (S::Paused, E::ResolveManually, S::ResolvedManually),
        (S::Complete, E::Rerun, S::Pending),
        (S::Failed, E::Retry, S::Pending),
        (S::Failed, E::Rerun, S::Pending),
        (S::Failed, E::ResolveManually, S::ResolvedManually),
        (S::Cancelled, E::Rerun, S::Pending),
        (S::ResolvedManually, E::Rerun, S::Pending),
    ]
};

impl TaskState {
    /// Whether nothing more happens to the task by itself.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Complete | Self::Failed | Self::Cancelled | Self::ResolvedManually
        )
    }

    /// Whether steps of the task may be claimed.
    pub const fn is_claimable(self) -> bool {
        matches!(
            self,
            Self::Pending | Self::Running | Self::Waiting | Self::Blocked
        )
    }

    /// The state that `event` leads to.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] if the event is not legal in this state.
    pub fn next(self, event: TaskEvent) -> Result<Self, IllegalTransition> {
        machine::next("task", TASK_TRANSITIONS, self, event)
    }
}

impl FromStr for TaskState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        machine::parse("task", Self::ALL, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules in words, written apart from the table: every pair of state and event is held against them.
    fn expected(state: TaskState, event: TaskEvent) -> Option<TaskState> {
        use TaskEvent as E;
        use TaskState as S;
        let target = match event {
            E::Start | E::Wake | E::Unblock | E::Resume => S::Running,
            E::Wait => S::Waiting,
            E::Block => S::Blocked,
            E::Pause => S::Paused,
            E::Complete => S::Complete,
            E::Fail => S::Failed,
            E::Cancel => S::Cancelled,
            E::Retry | E::Rerun => S::Pending,
            E::ResolveManually => S::ResolvedManually,
        };
        let legal = match event {
            // Any unfinished task can end, in any way.
            E::Complete | E::Fail | E::Cancel => !state.is_terminal(),
            E::ResolveManually => !state.is_terminal() || state == S::Failed,
            E::Retry => state == S::Failed,
            // An unfinished task is rerun without leaving its state.
            E::Rerun => state.is_terminal(),
            E::Resume => state == S::Paused,
            E::Unblock => state == S::Blocked,
            E::Wake => state == S::Waiting,
            E::Start => state.is_claimable() && state != S::Running,
            // A claimable task can be held back in any other way than the one it is held back by.
            E::Wait | E::Block | E::Pause => state.is_claimable() && state != target,
        };
        legal.then_some(target)
    }

    #[test]
    fn every_pair_of_state_and_event_does_what_the_rules_say() {
        for &state in TaskState::ALL {
            for &event in TaskEvent::ALL {
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
        for (position, (from, event, _)) in TASK_TRANSITIONS.iter().enumerate() {
            let again = TASK_TRANSITIONS[position + 1..]
                .iter()
                .any(|(other, trigger, _)| other == from && trigger == event);
            assert!(!again, "{from} {event}");
        }
    }

    #[test]
    fn a_refused_event_is_named() {
        let refused = TaskState::Complete.next(TaskEvent::Cancel).unwrap_err();
        assert_eq!(refused.to_string(), "a task that is complete cannot cancel");
    }

    #[test]
    fn names_are_read_back() {
        for &state in TaskState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{state}\""));
            assert_eq!(serde_json::from_str::<TaskState>(&json).unwrap(), state);
        }
        assert!(serde_json::from_str::<TaskState>("\"done\"").is_err());
        let unknown = "done".parse::<TaskState>().unwrap_err().to_string();
        assert!(
            unknown.contains("done") && unknown.contains("waiting"),
            "{unknown}"
        );
    }
}
