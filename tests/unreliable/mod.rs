//! A store in memory that fails when a test says so.
#![allow(dead_code, reason = "each test binary needs a part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use postroom::actor::Exit;
use postroom::orchestration::store::memory::MemoryStore;
use postroom::orchestration::store::{
    Census, ClaimRequest, Claims, CleanupReport, CleanupRequest, Completion, CompletionOutcome,
    DeadLetter, DeadLetterFilter, Heartbeat, HistoryRecord, Lease, NewTask, Operation,
    OperationOutcome, ProcessRecord, ProcessRegistration, StepRecord, Store, StoreError,
    Submission, SweepReport, SweepRequest, TaskDefinition, TaskFilter, TaskRecord,
};
use tokio::sync::watch;
use uuid::Uuid;

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not at all.
    None,
    /// One in five of the calls that the actors make for their work, alternately before and after its effect.
    EveryFifth,
    /// Every call, as one does whose server is not there.
    Away,
    /// Calls begin and do not go on until the fault is another one.
    Stuck,
    /// The same, but only of those that ask which processes there are, as sweeps do first.
    SweepsStuck,
}

pub(crate) struct Unreliable {
    inner: MemoryStore,
    calls: AtomicU64,
    fault: watch::Sender<Fault>,
}

impl Unreliable {
    pub(crate) fn new(inner: &MemoryStore, fault: Fault) -> Self {
        Self {
            inner: inner.clone(),
            calls: AtomicU64::new(0),
            fault: watch::Sender::new(fault),
        }
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// How many calls reached it.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    async fn call<T>(
        &self,
        action: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut fault = self.fault.subscribe();
        // The sender lives as long as this.
        let _ = fault.wait_for(|fault| *fault != Fault::Stuck).await;
        let failure = || StoreError::Failed {
            intent: "do what the test asked",
            source: "the connection is gone".into(),
        };
        let now = *self.fault.borrow();
        if now == Fault::Away {
            return Err(StoreError::Unavailable {
                database: "in memory".into(),
                waited_ms: 0,
                source: "there is no server".into(),
            });
        }
        let fails = now == Fault::EveryFifth && call % 5 == 4;
        if fails && call.is_multiple_of(2) {
            return Err(failure());
        }
        let answer = action.await?;
        if fails { Err(failure()) } else { Ok(answer) }
    }

    /// A call that [`Fault::EveryFifth`] spares.
    async fn quietly<T>(
        &self,
        action: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if *self.fault.borrow() == Fault::EveryFifth {
            return action.await;
        }
        self.call(action).await
    }
}

#[async_trait]
impl Store for Unreliable {
    async fn submit(
        &self,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Result<Submission, StoreError>>, StoreError> {
        self.call(self.inner.submit(tasks)).await
    }
    async fn claim(&self, request: ClaimRequest) -> Result<Claims, StoreError> {
        self.call(self.inner.claim(request)).await
    }
    async fn complete(
        &self,
        completions: Vec<Completion>,
    ) -> Result<Vec<CompletionOutcome>, StoreError> {
        self.call(self.inner.complete(completions)).await
    }
    async fn heartbeat(&self, process: Uuid, lease: Duration) -> Result<Heartbeat, StoreError> {
        self.call(self.inner.heartbeat(process, lease)).await
    }
    async fn release(&self, process: Uuid, leases: Vec<Lease>) -> Result<u32, StoreError> {
        self.call(self.inner.release(process, leases)).await
    }
    async fn dead_letters(&self, filter: DeadLetterFilter) -> Result<Vec<DeadLetter>, StoreError> {
        self.quietly(self.inner.dead_letters(filter)).await
    }
    async fn cleanup(&self, request: CleanupRequest) -> Result<CleanupReport, StoreError> {
        self.call(self.inner.cleanup(request)).await
    }
    async fn sweep(&self, request: SweepRequest) -> Result<SweepReport, StoreError> {
        self.call(self.inner.sweep(request)).await
    }
    async fn operate(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<OperationOutcome>, StoreError> {
        self.call(self.inner.operate(operations)).await
    }
    async fn register_process(&self, registration: ProcessRegistration) -> Result<(), StoreError> {
        self.quietly(self.inner.register_process(registration))
            .await
    }
    async fn unregister_process(&self, process: Uuid) -> Result<(), StoreError> {
        self.quietly(self.inner.unregister_process(process)).await
    }
    async fn processes(&self) -> Result<Vec<ProcessRecord>, StoreError> {
        let mut fault = self.fault.subscribe();
        let _ = fault.wait_for(|fault| *fault != Fault::SweepsStuck).await;
        self.quietly(self.inner.processes()).await
    }
    async fn task(&self, task_uuid: Uuid) -> Result<Option<TaskRecord>, StoreError> {
        self.quietly(self.inner.task(task_uuid)).await
    }
    async fn definition(&self, task_uuid: Uuid) -> Result<Option<Arc<TaskDefinition>>, StoreError> {
        self.call(self.inner.definition(task_uuid)).await
    }
    async fn steps(&self, task_uuid: Uuid) -> Result<Vec<StepRecord>, StoreError> {
        self.quietly(self.inner.steps(task_uuid)).await
    }
    async fn history(&self, task_uuid: Uuid) -> Result<Vec<HistoryRecord>, StoreError> {
        self.quietly(self.inner.history(task_uuid)).await
    }
    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskRecord>, StoreError> {
        self.quietly(self.inner.tasks(filter)).await
    }
    async fn census(&self) -> Result<Census, StoreError> {
        self.quietly(self.inner.census()).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.quietly(self.inner.ping()).await
    }
    async fn audit(&self) -> Result<Vec<String>, StoreError> {
        self.quietly(self.inner.audit()).await
    }
    async fn close(&self) -> Vec<Arc<Exit>> {
        self.inner.close().await
    }
}
