//! A store behind a circuit breaker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::breaker::Breaker;
use super::{
    Census, ClaimRequest, ClaimedStep, Claims, CleanupReport, CleanupRequest, Completion,
    CompletionOutcome, DeadLetter, DeadLetterFilter, Heartbeat, Hints, HistoryRecord, Lease,
    NewTask, Operation, OperationOutcome, ProcessRecord, ProcessRegistration, StepId, StepRecord,
    Store, StoreError, Submission, SweepReport, SweepRequest, TaskDefinition, TaskFilter,
    TaskRecord,
};
use crate::actor::Exit;

/// Every call goes through the breaker, but for the farewell: whoever leaves always tries to give back its leases.
pub(crate) struct GuardedStore {
    inner: Arc<dyn Store>,
    breaker: Arc<Breaker>,
}

impl GuardedStore {
    pub(crate) fn new(inner: Arc<dyn Store>, breaker: Arc<Breaker>) -> Self {
        Self { inner, breaker }
    }
}

#[async_trait]
impl Store for GuardedStore {
    async fn submit(
        &self,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Result<Submission, StoreError>>, StoreError> {
        self.breaker.call(self.inner.submit(tasks)).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims, StoreError> {
        self.breaker.call(self.inner.claim(request)).await
    }

    async fn complete(
        &self,
        completions: Vec<Completion>,
    ) -> Result<Vec<CompletionOutcome>, StoreError> {
        self.breaker.call(self.inner.complete(completions)).await
    }

    async fn submit_and_claim(
        &self,
        tasks: Vec<NewTask>,
        claim: ClaimRequest,
    ) -> Result<(Vec<Result<Submission, StoreError>>, Vec<ClaimedStep>), StoreError> {
        let call = self.inner.submit_and_claim(tasks, claim);
        self.breaker.call(call).await
    }

    async fn complete_and_claim(
        &self,
        completions: Vec<Completion>,
        claim: ClaimRequest,
    ) -> Result<(Vec<CompletionOutcome>, Vec<ClaimedStep>), StoreError> {
        let call = self.inner.complete_and_claim(completions, claim);
        self.breaker.call(call).await
    }

    async fn heartbeat(&self, process: Uuid, lease: Duration) -> Result<Heartbeat, StoreError> {
        self.breaker
            .call(self.inner.heartbeat(process, lease))
            .await
    }

    async fn release(&self, process: Uuid, leases: Vec<Lease>) -> Result<u32, StoreError> {
        self.breaker.call(self.inner.release(process, leases)).await
    }

    async fn sweep(&self, request: SweepRequest) -> Result<SweepReport, StoreError> {
        self.breaker.call(self.inner.sweep(request)).await
    }

    async fn operate(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<OperationOutcome>, StoreError> {
        self.breaker.call(self.inner.operate(operations)).await
    }

    async fn register_process(&self, registration: ProcessRegistration) -> Result<(), StoreError> {
        let call = self.inner.register_process(registration);
        self.breaker.call(call).await
    }

    async fn unregister_process(&self, process: Uuid) -> Result<(), StoreError> {
        self.inner.unregister_process(process).await
    }

    async fn processes(&self) -> Result<Vec<ProcessRecord>, StoreError> {
        self.breaker.call(self.inner.processes()).await
    }

    async fn task(&self, task_uuid: Uuid) -> Result<Option<TaskRecord>, StoreError> {
        self.breaker.call(self.inner.task(task_uuid)).await
    }

    async fn definition(&self, task_uuid: Uuid) -> Result<Option<Arc<TaskDefinition>>, StoreError> {
        self.breaker.call(self.inner.definition(task_uuid)).await
    }

    async fn steps(&self, task_uuid: Uuid) -> Result<Vec<StepRecord>, StoreError> {
        self.breaker.call(self.inner.steps(task_uuid)).await
    }

    async fn step(&self, id: StepId) -> Result<Option<StepRecord>, StoreError> {
        self.breaker.call(self.inner.step(id)).await
    }

    async fn history(&self, task_uuid: Uuid) -> Result<Vec<HistoryRecord>, StoreError> {
        self.breaker.call(self.inner.history(task_uuid)).await
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskRecord>, StoreError> {
        self.breaker.call(self.inner.tasks(filter)).await
    }

    async fn dead_letters(&self, filter: DeadLetterFilter) -> Result<Vec<DeadLetter>, StoreError> {
        self.breaker.call(self.inner.dead_letters(filter)).await
    }

    async fn cleanup(&self, request: CleanupRequest) -> Result<CleanupReport, StoreError> {
        self.breaker.call(self.inner.cleanup(request)).await
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.breaker.call(self.inner.census()).await
    }

    fn writers(&self) -> usize {
        self.inner.writers()
    }

    fn hints(&self) -> Option<Hints> {
        self.inner.hints()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.breaker.call(self.inner.ping()).await
    }

    async fn audit(&self) -> Result<Vec<String>, StoreError> {
        self.breaker.call(self.inner.audit()).await
    }

    async fn close(&self) -> Vec<Arc<Exit>> {
        self.inner.close().await
    }
}
