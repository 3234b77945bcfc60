//! The steps that run in this process at the moment, so that those whose lease is lost can be interrupted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::orchestration::store::{Lease, StepId};

/// Leases held by this process, each with the token that interrupts its handler.
#[derive(Debug, Default)]
pub(crate) struct RunningSteps {
    by_lease: Mutex<BTreeMap<Lease, CancellationToken>>,
}

impl RunningSteps {
    pub(crate) fn begin(&self, lease: Lease) -> CancellationToken {
        let token = CancellationToken::new();
        self.lock().insert(lease, token.clone());
        token
    }

    pub(crate) fn end(&self, lease: Lease) {
        self.lock().remove(&lease);
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn leases(&self) -> Vec<Lease> {
        self.lock().keys().copied().collect()
    }

    pub(crate) fn interrupt(&self, leases: &[Lease]) {
        let running = self.lock();
        for lease in leases {
            if let Some(token) = running.get(lease) {
                token.cancel();
            }
        }
    }

    pub(crate) fn interrupt_task(&self, task_uuid: Uuid) {
        for (lease, token) in self.lock().iter() {
            if lease.id.task_uuid == task_uuid {
                token.cancel();
            }
        }
    }

    pub(crate) fn interrupt_step(&self, id: StepId) {
        for (lease, token) in self.lock().iter() {
            if lease.id == id {
                token.cancel();
            }
        }
    }

    pub(crate) fn interrupt_all(&self) {
        for token in self.lock().values() {
            token.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Lease, CancellationToken>> {
        // Each critical section is a single map operation: there is no half-done state to fear.
        self.by_lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(task: u128, index: u32) -> Lease {
        let id = StepId {
            task_uuid: Uuid::from_u128(task),
            index,
        };
        Lease { id, epoch: 1 }
    }

    #[test]
    fn a_cancelled_task_interrupts_its_own_steps_only() {
        let running = RunningSteps::default();
        let (first, second) = (running.begin(lease(1, 0)), running.begin(lease(2, 0)));
        running.interrupt_task(Uuid::from_u128(1));
        assert!(first.is_cancelled());
        assert!(!second.is_cancelled());
    }

    #[test]
    fn a_lost_lease_interrupts_that_epoch_only() {
        let running = RunningSteps::default();
        let token = running.begin(lease(1, 0));
        running.interrupt(&[Lease {
            epoch: 2,
            ..lease(1, 0)
        }]);
        assert!(!token.is_cancelled());
        running.interrupt(&[lease(1, 0)]);
        assert!(token.is_cancelled());
        running.end(lease(1, 0));
        assert_eq!(running.len(), 0);
    }
}
