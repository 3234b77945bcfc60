//! What operators, the finaliser and the sweeper do to tasks.

use std::time::Duration;

use uuid::Uuid;

use super::StepId;
use crate::orchestration::state::TaskState;

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
    /// Continue a failed task: failed steps are ready again with their attempts counted anew; what is
    /// complete stays. The task's run number rises.
    Retry,
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
    /// A process without a heartbeat for this long counts as gone.
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
