//! For the simulation: what the rows would be if a check were missing.

use uuid::Uuid;

use super::MemoryStore;
use crate::orchestration::state::StepState;
use crate::orchestration::store::{Lease, StepId, StoreError};

impl MemoryStore {
    /// A step whose claim has ended runs again, as if completions did not look at its state.
    pub(crate) fn run_again(&self, lease: Lease, process: Uuid) -> Result<(), StoreError> {
        self.with(|state| {
            if let Some(key) = state.key(lease.id)
                && state.step(key).epoch == lease.epoch
                && state.step(key).state != StepState::Running
            {
                let now = state.now();
                state.change(key, |step| {
                    step.state = StepState::Running;
                    step.owner = Some(process);
                    step.lease_until = Some(now);
                    step.due_at = None;
                });
            }
        })
    }

    /// The children of a step are ready, as if joins did not count their parents.
    pub(crate) fn ready_children(&self, id: StepId) -> Result<(), StoreError> {
        self.with(|state| {
            let Some(key) = state.key(id) else { return };
            for child in state.step(key).children.clone() {
                state.change((key.0, child), |child| {
                    if child.state == StepState::Pending {
                        child.state = StepState::Ready;
                    }
                });
            }
        })
    }
}
