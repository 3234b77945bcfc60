//! Commands and events: what the orchestration can be asked, and what it tells.
//!
//! # Commands
//!
//! [`OrchestrationCommand`] is one enum over everything that the lifecycle actors can be asked, for callers
//! that receive commands as data. A command is not handled by a loop of its own:
//! [`OrchestrationCore::execute`] looks up the route of the command's message and asks the actor behind it, so
//! that commands of different kinds never wait for each other, and a full mailbox slows the caller down.
//!
//! | command | message | actor | answer |
//! |---|---|---|---|
//! | `InitializeTask` | [`ProcessTaskRequestMessage`] | [`TaskRequestActor`], which passes the reply on to the [`TaskInitializerActor`] | [`TaskReceipt`], when the task is stored |
//! | `EnqueueReadySteps` | [`EnqueueStepsMessage`] | [`StepEnqueuerActor`] | how many steps were started |
//! | `ProcessStepResult` | [`ProcessStepResultMessage`] | [`ResultProcessorActor`] | [`CompletionOutcome`], when it is recorded |
//! | `FinalizeTask` | [`FinalizeTaskMessage`] | [`TaskFinalizerActor`] | [`OperationOutcome`], when it is recorded |
//! | `GetProcessingStats` | none: reads the mailboxes' counters | | [`ProcessingStats`] |
//! | `HealthCheck` | [`HealthCheckMessage`] | [`HealthActor`], which never waits behind work | [`SystemHealth`] |
//! | `Shutdown` | none: drains the registry | | [`OrchestrationReport`] |
//!
//! Between themselves the actors also send [`InitializeTaskMessage`] and [`SweepMessage`]. What is told to the event
//! actors, the metrics actor and the retention actor comes from their own timers and listeners.
//!
//! # Events
//!
//! [`OrchestrationCore::events`] is a stream of what this process does, announced after the commit:
//! [`OrchestrationEvent`]. Events are hints for people and tests. They are lost if nobody listens or a
//! listener falls behind, and they say nothing of what other processes do; the store knows everything
//! ([`Store::history`](super::store::Store::history)).
//!
//! | event | announced by | when |
//! |---|---|---|
//! | `StepStarted` | the worker | a claimed step's handler is about to run |
//! | `StepFinished` | the result processor | its outcome is recorded, for good |
//! | `StepRetrying` | the result processor | a failed attempt is recorded and another will follow |
//! | `TaskFinished` | the result processor or the finalizer | the task's final state is recorded |
//!
//! [`OrchestrationCore::execute`]: super::OrchestrationCore::execute
//! [`OrchestrationCore::events`]: super::OrchestrationCore::events
//! [`OrchestrationEvent`]: super::OrchestrationEvent
//! [`ProcessTaskRequestMessage`]: super::actors::ProcessTaskRequestMessage
//! [`TaskRequestActor`]: super::actors::TaskRequestActor
//! [`TaskInitializerActor`]: super::actors::TaskInitializerActor
//! [`InitializeTaskMessage`]: super::actors::InitializeTaskMessage
//! [`EnqueueStepsMessage`]: super::actors::EnqueueStepsMessage
//! [`StepEnqueuerActor`]: super::actors::StepEnqueuerActor
//! [`ProcessStepResultMessage`]: super::actors::ProcessStepResultMessage
//! [`ResultProcessorActor`]: super::actors::ResultProcessorActor
//! [`FinalizeTaskMessage`]: super::actors::FinalizeTaskMessage
//! [`SweepMessage`]: super::actors::SweepMessage
//! [`HealthCheckMessage`]: super::actors::HealthCheckMessage
//! [`HealthActor`]: super::actors::HealthActor
//! [`TaskFinalizerActor`]: super::actors::TaskFinalizerActor

use crate::actor::ActorName;
use std::sync::Arc;

use uuid::Uuid;

use super::core::OrchestrationReport;
use super::lifecycle::{
    ClaimError, ProcessResultError, StepExecutionResult, SubmitError, SystemHealth, TaskReceipt,
    TaskRequest,
};
use super::operator::TaskError;
use super::store::{Census, CompletionOutcome, OperationKind, OperationOutcome};
use crate::actor::MailboxStats;

/// What the orchestration can be asked to do.
#[derive(Debug)]
pub enum OrchestrationCommand {
    /// Store a new task. Handled by the task request actor and the task initializer actor.
    InitializeTask(TaskRequest),
    /// Look for steps to hand to waiting workers. Handled by the step enqueuer actor.
    EnqueueReadySteps,
    /// Record what became of an attempt. Handled by the result processor actor.
    ProcessStepResult(StepExecutionResult),
    /// Finalise a task, or do to it what an operator asks. Handled by the task finalizer actor.
    FinalizeTask {
        /// Which task.
        task_uuid: Uuid,
        /// What to do.
        kind: OperationKind,
    },
    /// Count what the actors have done so far.
    GetProcessingStats,
    /// Look whether everything works.
    HealthCheck,
    /// Drain and stop everything.
    Shutdown,
}

/// The answer to a command, of the same name.
#[derive(Debug)]
pub enum OrchestrationResponse {
    /// The task is stored.
    InitializeTask(TaskReceipt),
    /// How many steps were handed to workers.
    EnqueueReadySteps(u32),
    /// What became of the result.
    ProcessStepResult(CompletionOutcome),
    /// What became of the operation.
    FinalizeTask(OperationOutcome),
    /// The counts.
    GetProcessingStats(ProcessingStats),
    /// The findings.
    HealthCheck(SystemHealth),
    /// Everything has stopped.
    Shutdown(Arc<OrchestrationReport>),
}

/// A command could not be carried out.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// A task could not be stored.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// Steps could not be claimed.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// A result could not be recorded.
    #[error(transparent)]
    Result(#[from] ProcessResultError),
    /// A task could not be changed.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The actor did not take the command or did not answer it.
    #[error("the orchestration did not carry out the command: {reason}")]
    Unavailable {
        /// What the mailbox said.
        reason: String,
    },
}

/// What the lifecycle actors have done since this core was started, and what waits for each.
#[derive(Debug, Clone)]
pub struct ProcessingStats {
    /// Task requests that were handled.
    pub task_requests_processed: u64,
    /// Results of steps that were handled.
    pub step_results_processed: u64,
    /// Finalisations, cancellations, retries and sweeps that were handled.
    pub tasks_finalized: u64,
    /// Messages of any actor that ended in an error or a panic.
    pub processing_errors: u64,
    /// What waited and what ran in the whole database when the metrics actor counted last.
    pub census: Option<Census>,
    /// Each actor's name and mailbox.
    pub actors: Vec<(ActorName, MailboxStats)>,
}
