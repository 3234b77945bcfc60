//! What operators, the finaliser and the sweeper do to tasks.

use std::time::Duration;

use uuid::Uuid;

use super::StepId;
use crate::orchestration::state::{StepState, TaskState};

/// One operation on one task.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The task.
    pub task_uuid: Uuid,
    /// What to do.
    pub kind: OperationKind,
    /// The process that does it (for audit).
    pub process: Uuid,
}

/// What can be done to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationKind {
    /// Look at the steps and finalise the task if nothing remains to be done.
    Finalise,
    /// Start nothing more: every unfinished step becomes `cancelled`, running ones lose their lease, and the
    /// task is `cancelled`.
    Cancel {
        /// Shown to people.
        reason: String,
    },
    /// Claim nothing more of it; what runs goes on.
    Pause {
        /// Shown to people.
        reason: String,
    },
    /// Let a paused task go on.
    Resume,
    /// Continue a failed task: steps that failed, or were cancelled because another one failed, run again with
    /// their attempts counted anew; what is complete stays. The task's run number rises.
    Retry,
    /// Declare an unfinished or failed task done. Its unfinished steps become `cancelled`; running ones lose
    /// their lease.
    Resolve {
        /// Shown to people.
        reason: String,
    },
    /// Declare a step done without a result: its dependents go on. A running step loses its lease. A failed
    /// task goes on in a new run, unless another failure still holds it.
    ResolveStep {
        /// The step's position.
        step: u32,
        /// Shown to people.
        reason: String,
    },
    /// Hand in the result of a step that is ready, runs, waits for a retry or has failed. A running step loses
    /// its lease. A failed task goes on in a new run, unless another failure still holds it.
    CompleteStep {
        /// The step's position.
        step: u32,
        /// The result as JSON text.
        result_json: String,
    },
    /// Run a task again from a step on: the step and its descendants are reset, and their results are kept as
    /// history. Steps that were cancelled wait again, and under
    /// [`FailFast`](crate::orchestration::state::FailurePolicy) so does what had failed elsewhere, which would
    /// end the new run at once. The task's run number rises. Refused as [`OperationOutcome::Busy`] while one of
    /// the steps to be reset is leased.
    Rerun {
        /// The step's position.
        from: u32,
    },
}

impl OperationKind {
    /// Whether steps may be ready by it that were not before.
    pub fn may_ready_steps(&self) -> bool {
        matches!(
            self,
            Self::Resume
                | Self::Retry
                | Self::ResolveStep { .. }
                | Self::CompleteStep { .. }
                | Self::Rerun { .. }
        )
    }
}

/// The answer to an [`Operation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationOutcome {
    /// Done.
    Applied {
        /// The task's state now.
        state: TaskState,
    },
    /// The task is in a state in which this cannot be done, or needs not; nothing changed.
    NotApplicable {
        /// The state it is in.
        state: TaskState,
    },
    /// The step is in a state in which this cannot be done; nothing changed.
    StepNotApplicable {
        /// The state it is in.
        state: StepState,
    },
    /// A process holds the lease of a step that would have to be reset; nothing changed.
    Busy {
        /// The step's position.
        step: u32,
    },
    /// The task has no such step.
    NoSuchStep,
    /// There is no such task.
    NotFound,
}

/// What the sweeper knows when it sweeps.
#[derive(Debug, Clone)]
pub struct SweepRequest {
    /// The process that sweeps (for audit).
    pub process: Uuid,
    /// Processes that are known to be dead, whatever their leases say.
    pub dead: Vec<Uuid>,
    /// A step that loses its lease more often than this fails.
    pub max_lost_leases: u32,
    /// A process without a heartbeat for this long counts as gone. One that holds no lease is forgotten after
    /// ten times as long; should it live after all, its next heartbeat tells it to register again.
    pub process_ttl: Duration,
    /// At most this many steps are rescued at once.
    pub limit: u32,
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Steps that are ready again.
    pub rescued: Vec<StepId>,
    /// Steps that failed because they lost too many leases.
    pub failed: Vec<StepId>,
    /// Tasks that reached their end by it.
    pub finalised: Vec<(Uuid, TaskState)>,
    /// Tasks that became blocked.
    pub blocked: Vec<Uuid>,
    /// Tasks that are no longer blocked.
    pub unblocked: Vec<Uuid>,
}
