//! A store that fails before or after it has done what it was asked, and stores whose guards are broken on
//! purpose.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fastrand::Rng;
use uuid::Uuid;

use crate::actor::Exit;
use crate::orchestration::state::StepState;
use crate::orchestration::store::memory::MemoryStore;
use crate::orchestration::store::{
    Census, ClaimRequest, ClaimedStep, Claims, CleanupReport, CleanupRequest, Completion,
    CompletionOutcome, DeadLetter, DeadLetterFilter, Heartbeat, HistoryRecord, Lease, NewTask,
    Operation, OperationOutcome, ProcessRecord, ProcessRegistration, StepId, StepRecord, Store,
    StoreError, Submission, SweepReport, SweepRequest, TaskDefinition, TaskFilter, TaskRecord,
};

/// A guard that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breakage {
    /// Whoever completes a running step is believed, whatever its epoch.
    Epoch,
    /// A completion of the right epoch is recorded whatever the state of its step, so also a second time.
    State,
    /// A join is ready with its first parent.
    Join,
    /// Leases are taken away that have not run out.
    Lease,
    /// Leases that ran out are never taken back.
    Rescue,
    /// A claim hands out again what was handed out before.
    Claim,
    /// What was submitted before is stored again.
    Identity,
    /// Some submissions are acknowledged and not stored.
    Durability,
}

/// One call in so many fails while the faults are on.
const FAILS_ONE_IN: u32 = 25;

pub(super) struct FaultyStore {
    inner: MemoryStore,
    breakage: Option<Breakage>,
    on: AtomicBool,
    rng: Mutex<Rng>,
    claimed: Mutex<Vec<ClaimedStep>>,
}

impl FaultyStore {
    pub(super) fn new(inner: MemoryStore, breakage: Option<Breakage>, rng: Rng) -> Self {
        Self {
            inner,
            breakage,
            on: AtomicBool::new(true),
            rng: Mutex::new(rng),
            claimed: Mutex::default(),
        }
    }

    /// From here on the database does what it is asked.
    pub(super) fn calm(&self) {
        self.on.store(false, Ordering::Relaxed);
    }

    fn one_in(&self, many: u32) -> bool {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.on.load(Ordering::Relaxed) && rng.u32(0..many) == 0
    }

    /// Fails before the call or after it, now and then.
    async fn call<T>(
        &self,
        action: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let failure = || {
            Err(StoreError::Failed {
                intent: "do what the simulation asked",
                source: "the connection is gone".into(),
            })
        };
        if self.one_in(2 * FAILS_ONE_IN) {
            return failure();
        }
        let answer = action.await?;
        if self.one_in(2 * FAILS_ONE_IN) {
            return failure();
        }
        Ok(answer)
    }

    /// Gives a completion the epoch and owner that would make it good.
    async fn forge(&self, completion: &mut Completion) -> Result<(), StoreError> {
        let lease = &mut completion.lease;
        let steps = self.inner.steps(lease.id.task_uuid).await?;
        if let Some(step) = steps.get(lease.id.index as usize)
            && step.state == StepState::Running
            && let Some(owner) = step.owner
        {
            lease.epoch = step.epoch;
            completion.process = owner;
        }
        Ok(())
    }

    fn remembered(&self, claims: &mut Claims) {
        let mut before = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        if claims.steps.is_empty() {
            claims.steps.extend(before.pop());
        } else {
            before.extend(claims.steps.iter().cloned());
        }
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn submit(
        &self,
        mut tasks: Vec<NewTask>,
    ) -> Result<Vec<Result<Submission, StoreError>>, StoreError> {
        if self.breakage == Some(Breakage::Durability) && self.one_in(3) {
            let answer = |task: NewTask| {
                Ok(Submission::Created {
                    task_uuid: task.task_uuid,
                })
            };
            return Ok(tasks.drain(..).map(answer).collect());
        }
        if self.breakage == Some(Breakage::Identity) {
            for task in &mut tasks {
                task.identity[..16].copy_from_slice(task.task_uuid.as_bytes());
            }
        }
        self.call(self.inner.submit(tasks)).await
    }
    async fn claim(&self, request: ClaimRequest) -> Result<Claims, StoreError> {
        let mut claims = self.call(self.inner.claim(request)).await?;
        if self.breakage == Some(Breakage::Claim) {
            self.remembered(&mut claims);
        }
        Ok(claims)
    }
    async fn complete(
        &self,
        mut completions: Vec<Completion>,
    ) -> Result<Vec<CompletionOutcome>, StoreError> {
        for completion in &mut completions {
            match self.breakage {
                Some(Breakage::Epoch) => self.forge(completion).await?,
                Some(Breakage::State) => {
                    self.inner.run_again(completion.lease, completion.process)?;
                }
                _ => {}
            }
        }
        let steps: Vec<StepId> = completions.iter().map(|it| it.lease.id).collect();
        let outcomes = self.call(self.inner.complete(completions)).await?;
        if self.breakage == Some(Breakage::Join) {
            for (outcome, step) in outcomes.iter().zip(steps) {
                let complete = StepState::Complete;
                if matches!(outcome, CompletionOutcome::Recorded { step_state, .. } if *step_state == complete)
                {
                    self.inner.ready_children(step)?;
                }
            }
        }
        Ok(outcomes)
    }
    async fn heartbeat(&self, process: Uuid, lease: Duration) -> Result<Heartbeat, StoreError> {
        self.call(self.inner.heartbeat(process, lease)).await
    }
    async fn release(&self, process: Uuid, leases: Vec<Lease>) -> Result<u32, StoreError> {
        self.call(self.inner.release(process, leases)).await
    }
    async fn sweep(&self, mut request: SweepRequest) -> Result<SweepReport, StoreError> {
        match self.breakage {
            Some(Breakage::Rescue) => return Ok(SweepReport::default()),
            Some(Breakage::Lease) => {
                let all = self.inner.processes().await?;
                request.dead = all.iter().map(|it| it.registration.process).collect();
            }
            _ => {}
        }
        self.call(self.inner.sweep(request)).await
    }
    async fn operate(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<OperationOutcome>, StoreError> {
        self.call(self.inner.operate(operations)).await
    }
    async fn register_process(&self, registration: ProcessRegistration) -> Result<(), StoreError> {
        self.call(self.inner.register_process(registration)).await
    }
    async fn unregister_process(&self, process: Uuid) -> Result<(), StoreError> {
        self.call(self.inner.unregister_process(process)).await
    }
    async fn processes(&self) -> Result<Vec<ProcessRecord>, StoreError> {
        self.call(self.inner.processes()).await
    }
    async fn task(&self, task_uuid: Uuid) -> Result<Option<TaskRecord>, StoreError> {
        self.call(self.inner.task(task_uuid)).await
    }
    async fn definition(&self, task_uuid: Uuid) -> Result<Option<Arc<TaskDefinition>>, StoreError> {
        self.call(self.inner.definition(task_uuid)).await
    }
    async fn steps(&self, task_uuid: Uuid) -> Result<Vec<StepRecord>, StoreError> {
        self.call(self.inner.steps(task_uuid)).await
    }
    async fn history(&self, task_uuid: Uuid) -> Result<Vec<HistoryRecord>, StoreError> {
        self.call(self.inner.history(task_uuid)).await
    }
    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskRecord>, StoreError> {
        self.call(self.inner.tasks(filter)).await
    }
    async fn dead_letters(&self, filter: DeadLetterFilter) -> Result<Vec<DeadLetter>, StoreError> {
        self.call(self.inner.dead_letters(filter)).await
    }
    async fn cleanup(&self, request: CleanupRequest) -> Result<CleanupReport, StoreError> {
        self.call(self.inner.cleanup(request)).await
    }
    async fn census(&self) -> Result<Census, StoreError> {
        self.call(self.inner.census()).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.call(self.inner.ping()).await
    }
    async fn audit(&self) -> Result<Vec<String>, StoreError> {
        self.inner.audit().await
    }
    async fn close(&self) -> Vec<Arc<Exit>> {
        self.inner.close().await
    }
}
