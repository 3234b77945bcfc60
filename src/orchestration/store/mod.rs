//! The storage contract: what the orchestration asks of a database, as intents.
//!
//! A [`Store`] is not a query interface. Each method is one intent of the orchestration ("record these
//! results and make ready what they made ready"), atomic on its own, and most take a batch: a store may
//! put several intents, of several callers, into one commit, and answers nobody before that commit is
//! durable. One intent that is refused harms no other of its batch.
//!
//! Two rules hold for every backend and are proved by the conformance suite:
//!
//! * every change of state is a compare-and-swap on the state and epoch expected; the loser gets an answer
//!   ([`CompletionOutcome::Stale`], [`OperationOutcome::NotApplicable`]), never a raw constraint error;
//! * only the store's clock decides what is due and which lease has run out.

mod audit;
mod breaker;
mod census;
mod claim;
mod completion;
mod error;
mod guarded;
mod hints;
mod operation;
mod plan;
mod process;
mod record;
mod retention;
mod settle;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
mod submission;
mod transaction;
mod url;
mod workers;

#[cfg(feature = "testing")]
pub mod conformance;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub(crate) use breaker::Breaker;
pub use breaker::{BreakerState, BreakerStatus};
pub use census::Census;
pub use claim::{
    BadSelector, ClaimRequest, ClaimScope, ClaimedStep, Claims, Lease, ParentResult,
    TemplateSelector,
};
pub use completion::{Completion, CompletionOutcome, StepFailure, StepOutcome};
pub use error::StoreError;
pub(crate) use guarded::GuardedStore;
pub use hints::Hints;
pub use operation::{Operation, OperationKind, OperationOutcome, SweepReport, SweepRequest};
pub use process::{Heartbeat, ProcessRecord, ProcessRegistration};
pub use record::{
    DeadLetter, DeadLetterFilter, HistoryKind, HistoryRecord, StepRecord, TaskDefinition,
    TaskFilter, TaskRecord,
};
pub use retention::{CleanupReport, CleanupRequest};
pub use submission::{NewStep, NewTask, Submission};
pub use transaction::{CallerTransaction, TransactionError};
pub use url::without_password;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::actor::Exit;

/// A step's place in the store: its task and its position in that task's template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId {
    /// The task the step belongs to.
    pub task_uuid: Uuid,
    /// Zero-based position of the step in the template's `steps`.
    pub index: u32,
}

/// The storage contract. See the [module documentation](self).
///
/// # Cancel safety
///
/// Dropping the future of a writing method before it has answered leaves the outcome unknown: the intents
/// are carried out whole or not at all, and every one of them may be repeated safely (a repeated submission
/// is a [`Submission::Duplicate`], a repeated completion is [`CompletionOutcome::Stale`]). Reading methods
/// may be dropped at any time.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Stores new tasks with their steps and edges; acknowledged when durable. One answer per task, in order.
    ///
    /// # Errors
    ///
    /// The outer error concerns the store (nothing of the batch is stored); an inner one only its own task.
    async fn submit(
        &self,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Result<Submission, StoreError>>, StoreError>;

    /// Claims runnable steps (ready, or waiting for a retry that is due) for one process: each gets a lease,
    /// a higher epoch and one more attempt; its task becomes `running`. Order: priority (higher first), then
    /// the time the task was submitted, then the step's position.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used; then nothing was claimed.
    async fn claim(&self, request: ClaimRequest) -> Result<Claims, StoreError>;

    /// Records what became of claimed steps: result or failure, attempt, the children's counters and
    /// readiness, the task's counters and, when nothing remains to be done, its final state. One answer per
    /// completion, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used; then nothing was recorded.
    async fn complete(
        &self,
        completions: Vec<Completion>,
    ) -> Result<Vec<CompletionOutcome>, StoreError>;

    /// [`submit`](Self::submit), then [`claim`](Self::claim), in one commit where the store can: a process with
    /// room for the first steps of what it submits starts them a commit earlier. The claim goes by the order of
    /// all claims, so it may bring steps of other tasks.
    ///
    /// By itself this is two commits; a claim that fails after the submission is logged and brings no steps.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit); then nothing was claimed.
    async fn submit_and_claim(
        &self,
        tasks: Vec<NewTask>,
        claim: ClaimRequest,
    ) -> Result<(Vec<Result<Submission, StoreError>>, Vec<ClaimedStep>), StoreError> {
        let answers = self.submit(tasks).await?;
        Ok((answers, claim_after(self, claim).await))
    }

    /// [`complete`](Self::complete), then [`claim`](Self::claim), in one commit where the store can: the places
    /// that the completed steps leave are filled without another commit.
    ///
    /// By itself this is two commits; a claim that fails after the completions is logged and brings no steps.
    ///
    /// # Errors
    ///
    /// As [`complete`](Self::complete); then nothing was claimed.
    async fn complete_and_claim(
        &self,
        completions: Vec<Completion>,
        claim: ClaimRequest,
    ) -> Result<(Vec<CompletionOutcome>, Vec<ClaimedStep>), StoreError> {
        let outcomes = self.complete(completions).await?;
        Ok((outcomes, claim_after(self, claim).await))
    }

    /// Renews the registration of a process and every lease it holds, and says which those are.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used; the leases are as they were.
    async fn heartbeat(&self, process: Uuid, lease: Duration) -> Result<Heartbeat, StoreError>;

    /// Gives leases back without an outcome: the steps are `ready` again at once and the interrupted attempts
    /// do not count. Leases that are no longer held (other epoch, other owner) are left alone. Returns how
    /// many were released.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used; the leases then run out by themselves.
    async fn release(&self, process: Uuid, leases: Vec<Lease>) -> Result<u32, StoreError>;

    /// Puts right what time and dead processes left behind: leases that ran out, or whose process is named
    /// dead, are taken back (`ready` again, or `failed` past the cap of lost leases); tasks whose runnable
    /// steps no live process can run become `blocked` with the reason, and the reverse; processes that have
    /// been silent for long and hold nothing are forgotten.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used.
    async fn sweep(&self, request: SweepRequest) -> Result<SweepReport, StoreError>;

    /// What an operator or the finaliser does to whole tasks. One answer per operation, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used; then nothing was done.
    async fn operate(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<OperationOutcome>, StoreError>;

    /// Makes a process known: what it can run, and how others on its host can tell whether it lives.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used.
    async fn register_process(&self, registration: ProcessRegistration) -> Result<(), StoreError>;

    /// Forgets a process and releases every lease that it still holds, as [`release`](Self::release) does.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used; its leases then run out by themselves.
    async fn unregister_process(&self, process: Uuid) -> Result<(), StoreError>;

    /// Every process known, live or not.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used.
    async fn processes(&self) -> Result<Vec<ProcessRecord>, StoreError>;

    /// One task, or `None` if there is none with this id.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used.
    async fn task(&self, task_uuid: Uuid) -> Result<Option<TaskRecord>, StoreError>;

    /// The template and input that a task was stored with, or `None` if there is no such task.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used.
    async fn definition(&self, task_uuid: Uuid) -> Result<Option<Arc<TaskDefinition>>, StoreError>;

    /// The steps of a task in template order; empty if there is no such task.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used.
    async fn steps(&self, task_uuid: Uuid) -> Result<Vec<StepRecord>, StoreError>;

    /// One step of a task, or `None` if there is no such step. By itself this reads all steps of the task.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used.
    async fn step(&self, id: StepId) -> Result<Option<StepRecord>, StoreError> {
        let steps = self.steps(id.task_uuid).await?;
        Ok(steps.into_iter().find(|step| step.index == id.index))
    }

    /// A task's history, oldest first: one row per attempt of a step, one per change of the task's state, one
    /// per stale completion and lost lease.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used.
    async fn history(&self, task_uuid: Uuid) -> Result<Vec<HistoryRecord>, StoreError>;

    /// Tasks that match a filter, newest first, at most [`TaskFilter::limit`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used.
    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskRecord>, StoreError>;

    /// Steps that failed for good and that nobody has dealt with, the latest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used.
    async fn dead_letters(&self, filter: DeadLetterFilter) -> Result<Vec<DeadLetter>, StoreError>;

    /// Deletes tasks that ended long ago, with everything that belongs to them: one bounded batch.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used; then nothing of this batch was deleted.
    async fn cleanup(&self, request: CleanupRequest) -> Result<CleanupReport, StoreError>;

    /// Counts what waits and what runs: one query, whose cost is bounded.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used.
    async fn census(&self) -> Result<Census, StoreError>;

    /// Hints that somebody may have changed something, for those that would otherwise have to look more often.
    /// `None`, as it is by itself, if the store cannot tell.
    ///
    /// # Panics
    ///
    /// May panic outside a tokio runtime.
    fn hints(&self) -> Option<Hints> {
        None
    }

    /// How many calls that write it carries out at the same time. Whoever has much to write does so in as many calls,
    /// of tasks that have nothing to do with each other. 1 unless the store says otherwise.
    fn writers(&self) -> usize {
        1
    }

    /// Answers if the database can be read.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Checks the stored counters and states of every task against its rows, and that no unfinished task is
    /// without an owner (O5). Returns one sentence per violation, naming the task; empty when all is well.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be used.
    async fn audit(&self) -> Result<Vec<String>, StoreError>;

    /// Finishes what was accepted, closes the connections, and returns how the store's own actors ended.
    /// Later calls of other methods answer [`StoreError::Closed`]; closing again is harmless.
    async fn close(&self) -> Vec<Arc<Exit>>;
}

/// A claim that must not undo what was acknowledged before it.
async fn claim_after<S: Store + ?Sized>(store: &S, claim: ClaimRequest) -> Vec<ClaimedStep> {
    match store.claim(claim).await {
        Ok(claims) => claims.steps,
        Err(error) => {
            tracing::warn!(%error, "claiming steps failed; what is ready is found at the next look");
            Vec::new()
        }
    }
}
