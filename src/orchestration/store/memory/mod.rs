//! Everything in memory: for tests, and for services whose workflows need not survive the process.
//!
//! One lock around plain structures, and indexes over the live steps, so that a claim costs the same
//! however many tasks there have been. It behaves as the databases do, to the letter of the conformance
//! suite; only durability is missing. Its clock is tokio's, so that virtual time works.

mod claim;
mod complete;
mod index;
mod maintain;
mod operate;
mod read;
mod state;
mod submit;
#[cfg(test)]
mod tampering;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    Census, ClaimRequest, ClaimedStep, Claims, CleanupReport, CleanupRequest, Completion,
    CompletionOutcome, DeadLetter, DeadLetterFilter, Heartbeat, HistoryRecord, Lease, NewTask,
    Operation, OperationOutcome, ProcessRecord, ProcessRegistration, StepRecord, Store, StoreError,
    Submission, SweepReport, SweepRequest, TaskDefinition, TaskFilter, TaskRecord,
};
use crate::actor::Exit;
use state::State;

/// A store that lives and dies with the process.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), postroom::orchestration::store::StoreError> {
/// use postroom::orchestration::store::{Store, memory::MemoryStore};
///
/// let store = MemoryStore::new();
/// assert!(store.tasks(Default::default()).await?.is_empty());
/// store.close().await;
/// assert!(store.ping().await.is_err());
/// # Ok(())
/// # }
/// ```
///
/// A clone is another connection to the same store, as a second process would have: closing one leaves the
/// others open.
#[derive(Debug)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    closed: AtomicBool,
}

impl MemoryStore {
    /// A store with nothing in it.
    pub fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new())),
            closed: AtomicBool::new(false),
        }
    }

    /// A store with nothing in it, whose clock shows this time (milliseconds since 1970) and goes on with
    /// tokio's.
    #[cfg(test)]
    pub(crate) fn at(now: i64) -> Self {
        let mut state = State::new();
        state.set_clock(now);
        Self {
            state: Arc::new(Mutex::new(state)),
            closed: AtomicBool::new(false),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        // No method of the state leaves it half changed, short of a bug; a panic elsewhere says nothing of it.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(work(&mut state))
    }
}

impl Clone for MemoryStore {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            closed: AtomicBool::new(false),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn submit(
        &self,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Result<Submission, StoreError>>, StoreError> {
        self.with(|state| tasks.into_iter().map(|task| state.submit(task)).collect())
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims, StoreError> {
        self.with(|state| state.claim(&request))
    }

    async fn complete(
        &self,
        completions: Vec<Completion>,
    ) -> Result<Vec<CompletionOutcome>, StoreError> {
        self.with(|state| {
            completions
                .into_iter()
                .map(|completion| state.complete(completion))
                .collect()
        })
    }

    async fn submit_and_claim(
        &self,
        tasks: Vec<NewTask>,
        claim: ClaimRequest,
    ) -> Result<(Vec<Result<Submission, StoreError>>, Vec<ClaimedStep>), StoreError> {
        self.with(|state| {
            let answers = tasks.into_iter().map(|task| state.submit(task)).collect();
            (answers, state.claim(&claim).steps)
        })
    }

    async fn complete_and_claim(
        &self,
        completions: Vec<Completion>,
        claim: ClaimRequest,
    ) -> Result<(Vec<CompletionOutcome>, Vec<ClaimedStep>), StoreError> {
        self.with(|state| {
            let outcomes = completions
                .into_iter()
                .map(|completion| state.complete(completion))
                .collect();
            (outcomes, state.claim(&claim).steps)
        })
    }

    async fn heartbeat(&self, process: Uuid, lease: Duration) -> Result<Heartbeat, StoreError> {
        self.with(|state| state.heartbeat(process, lease))
    }

    async fn release(&self, process: Uuid, leases: Vec<Lease>) -> Result<u32, StoreError> {
        self.with(|state| state.release(process, &leases))
    }

    async fn sweep(&self, request: SweepRequest) -> Result<SweepReport, StoreError> {
        self.with(|state| state.sweep(&request))
    }

    async fn operate(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<OperationOutcome>, StoreError> {
        self.with(|state| {
            operations
                .iter()
                .map(|operation| state.operate(operation))
                .collect()
        })
    }

    async fn register_process(&self, registration: ProcessRegistration) -> Result<(), StoreError> {
        self.with(|state| state.register_process(registration))
    }

    async fn unregister_process(&self, process: Uuid) -> Result<(), StoreError> {
        self.with(|state| state.unregister_process(process))
    }

    async fn processes(&self) -> Result<Vec<ProcessRecord>, StoreError> {
        self.with(|state| state.processes())
    }

    async fn task(&self, task_uuid: Uuid) -> Result<Option<TaskRecord>, StoreError> {
        self.with(|state| state.task(task_uuid))
    }

    async fn definition(&self, task_uuid: Uuid) -> Result<Option<Arc<TaskDefinition>>, StoreError> {
        self.with(|state| state.definition(task_uuid))
    }

    async fn steps(&self, task_uuid: Uuid) -> Result<Vec<StepRecord>, StoreError> {
        self.with(|state| state.steps(task_uuid))
    }

    async fn history(&self, task_uuid: Uuid) -> Result<Vec<HistoryRecord>, StoreError> {
        self.with(|state| state.history(task_uuid))
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskRecord>, StoreError> {
        self.with(|state| state.list(&filter))
    }

    async fn dead_letters(&self, filter: DeadLetterFilter) -> Result<Vec<DeadLetter>, StoreError> {
        self.with(|state| state.dead_letters(&filter))
    }

    async fn cleanup(&self, request: CleanupRequest) -> Result<CleanupReport, StoreError> {
        self.with(|state| state.cleanup(&request))
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.with(|state| state.census())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.with(|_| ())
    }

    async fn audit(&self) -> Result<Vec<String>, StoreError> {
        self.with(|state| state.audit())
    }

    async fn close(&self) -> Vec<Arc<Exit>> {
        self.closed.store(true, Ordering::Release);
        Vec::new()
    }
}
