//! Recording what became of a claimed step.

use std::time::Duration;

use uuid::Uuid;

use super::Lease;
use crate::orchestration::state::{StepState, TaskState};

/// What became of one claimed step.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The lease under which it ran.
    pub lease: Lease,
    /// The process that ran it.
    pub process: Uuid,
    /// The outcome.
    pub outcome: StepOutcome,
    /// How long the handler ran.
    pub elapsed: Duration,
}

/// Success or failure of one attempt.
#[derive(Debug, Clone)]
pub enum StepOutcome {
    /// The handler returned a value.
    Success {
        /// The value as JSON text.
        result_json: String,
    },
    /// The handler failed.
    Failure {
        /// Why.
        failure: StepFailure,
        /// Try again after this long (by the store's clock); `None`: the step has failed for good.
        retry_in: Option<Duration>,
    },
}

/// Why an attempt failed, as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// A short word for the kind: `error`, `panic`, `timeout`, `exit_status`, `lease_lost`, ...
    pub kind: String,
    /// What happened, for people.
    pub message: String,
    /// Whether the handler allows another attempt.
    pub retryable: bool,
    /// When the handler would like to be tried again: this long from now.
    pub retry_after: Option<Duration>,
}

/// The answer to a [`Completion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompletionOutcome {
    /// Recorded; its effects on children and task are part of the same commit.
    Recorded {
        /// The step's state now.
        step_state: StepState,
        /// The task's state now.
        task_state: TaskState,
        /// How many steps became ready by it.
        newly_ready: u32,
        /// Whether this completion brought the task to its end.
        finalised: bool,
        /// Whether the other steps of the task that run are to stop: the task fails fast.
        stops: bool,
    },
    /// The lease was no longer held (taken over, cancelled, or recorded before). Nothing changed but one
    /// history row.
    Stale {
        /// The state the step is in.
        step_state: StepState,
        /// The epoch the step is at.
        epoch: u64,
    },
    /// There is no such step.
    NotFound,
}
