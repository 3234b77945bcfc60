//! What the steps of a task say about the task.

use super::{StepState, TaskState};

/// How many steps of a task are in which kind of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepCounts {
    /// Waiting for their dependencies.
    pub pending: u32,
    /// Ready to be claimed.
    pub ready: u32,
    /// Running.
    pub running: u32,
    /// Waiting for a retry.
    pub retry_wait: u32,
    /// Complete, skipped or resolved: their dependents may go on.
    pub satisfied: u32,
    /// Failed for good.
    pub failed: u32,
    /// Cancelled.
    pub cancelled: u32,
}

/// What follows for the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evaluation {
    /// A step is ready or runs.
    Active,
    /// Nothing is ready or runs; a retry is waited for.
    Waiting,
    /// Every step satisfies its dependents.
    Complete,
    /// Nothing can run any more and a step has failed; what depends on it is not reached.
    Failed,
    /// Nothing can run any more, nothing has failed, and a step was cancelled.
    Cancelled,
    /// Nothing can run any more, and nothing says why: a step waits for dependencies that will never be met.
    /// This is not reachable by legal transitions; a store reports it.
    Stuck,
}

impl StepCounts {
    /// Counts one step.
    pub fn add(&mut self, state: StepState) {
        *match state {
            StepState::Pending => &mut self.pending,
            StepState::Ready => &mut self.ready,
            StepState::Running => &mut self.running,
            StepState::RetryWait => &mut self.retry_wait,
            StepState::Complete | StepState::Skipped | StepState::ResolvedManually => {
                &mut self.satisfied
            }
            StepState::Failed => &mut self.failed,
            StepState::Cancelled => &mut self.cancelled,
        } += 1;
    }

    /// Ready, running, or waiting for a retry.
    pub fn active(&self) -> u32 {
        self.ready + self.running + self.retry_wait
    }

    /// What follows for the task (O8): independent branches go on after a failure, and only when nothing can
    /// run any more does the task fail. No steps at all are [`Evaluation::Stuck`], since no template has none:
    /// counters that were not found must not complete a task.
    pub fn evaluate(&self) -> Evaluation {
        if self.ready + self.running > 0 {
            Evaluation::Active
        } else if self.retry_wait > 0 {
            Evaluation::Waiting
        } else if self.failed > 0 {
            Evaluation::Failed
        } else if self.cancelled > 0 {
            Evaluation::Cancelled
        } else if self.pending > 0 || self.satisfied == 0 {
            Evaluation::Stuck
        } else {
            Evaluation::Complete
        }
    }
}

impl FromIterator<StepState> for StepCounts {
    fn from_iter<I: IntoIterator<Item = StepState>>(states: I) -> Self {
        let mut counts = Self::default();
        for state in states {
            counts.add(state);
        }
        counts
    }
}

impl Evaluation {
    /// The final state the task is in by now, if it is.
    pub fn terminal_state(self) -> Option<TaskState> {
        match self {
            Self::Complete => Some(TaskState::Complete),
            Self::Failed => Some(TaskState::Failed),
            Self::Cancelled => Some(TaskState::Cancelled),
            Self::Active | Self::Waiting | Self::Stuck => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination of "some" and "none" of each kind, held against the rules read off the steps.
    #[test]
    fn every_combination_of_kinds_is_judged_by_the_rules() {
        for bits in 0_u32..128 {
            let some = |bit: u32| (bits >> bit) & 1;
            let counts = StepCounts {
                pending: some(0),
                ready: some(1),
                running: some(2),
                retry_wait: some(3),
                satisfied: some(4),
                failed: some(5),
                cancelled: some(6),
            };
            let evaluation = counts.evaluate();
            let can_go_on = counts.ready + counts.running + counts.retry_wait > 0;
            assert_eq!(
                evaluation.terminal_state().is_some() || evaluation == Evaluation::Stuck,
                !can_go_on,
                "{counts:?}"
            );
            if evaluation == Evaluation::Complete {
                assert_eq!(
                    counts.pending + counts.failed + counts.cancelled,
                    0,
                    "{counts:?}"
                );
            }
            if evaluation == Evaluation::Waiting {
                assert_eq!(counts.ready + counts.running, 0, "{counts:?}");
            }
            if !can_go_on && counts.failed > 0 {
                assert_eq!(evaluation, Evaluation::Failed, "{counts:?}");
            }
        }
    }

    #[test]
    fn counters_that_were_not_found_complete_nothing() {
        assert_eq!(StepCounts::default().evaluate(), Evaluation::Stuck);
        let done = StepCounts {
            satisfied: 1,
            ..StepCounts::default()
        };
        assert_eq!(done.evaluate(), Evaluation::Complete);
    }

    #[test]
    fn every_state_is_counted_once() {
        let counts: StepCounts = StepState::ALL.iter().copied().collect();
        assert_eq!(counts.active(), 3);
        assert_eq!(
            (
                counts.pending,
                counts.satisfied,
                counts.failed,
                counts.cancelled
            ),
            (1, 3, 1, 1)
        );
    }
}
