//! The rows of steps inside a transaction.

use uuid::Uuid;

use crate::orchestration::state::StepState;

/// A step as it is before something happens to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepRow {
    pub(crate) task_id: i64,
    pub(crate) index: u32,
    pub(crate) state: StepState,
    pub(crate) epoch: u64,
    pub(crate) owner: Option<Uuid>,
    pub(crate) attempts: u32,
    pub(crate) max_attempts: u32,
}

impl StepRow {
    /// Whether a process holds the lease, as of that epoch.
    pub(crate) fn is_held(&self, process: Uuid, epoch: u64) -> bool {
        self.state == StepState::Running && self.epoch == epoch && self.owner == Some(process)
    }
}
