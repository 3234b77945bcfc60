//! One thin actor per lifecycle component: each gives its service a mailbox, and nothing else.
//!
//! ```text
//!  OrchestrationCommand ── registry route ──► mailbox ──► service ──► one transaction per batch ──► replies
//!
//!  submit ─► TaskRequestActor ─► TaskInitializerActor ─┐
//!                                                      ├─► StepEnqueuerActor ◄── WorkerActor (has room)
//!  WorkerActor ─► ResultProcessorActor ────────────────┤
//!  operator ─► TaskFinalizerActor ─────────────────────┤
//!                      ▲                               │
//!  OrchestrationEventActor (sweeps)  WorkerEventActor ─┘
//!
//!  health check ─► HealthActor       now and then ─► MetricsActor, RetentionActor
//! ```
//!
//! Steps are claimed only into free places of the worker, by whoever has reason to: the initializer with what it
//! stores, the result processor for the steps whose outcome it records, and the enqueuer whatever is left. What other
//! processes did is noticed by the two event actors: they listen to the store's
//! [hints](super::store::Store::hints) and poll for what those miss, less often while there is nothing to do. The
//! graph of sends has no cycle, which the registry checks when it is built. Actors start with the one that all others
//! need, and drain in reverse: first the sources of work, last what the work ends in.

mod gather;
mod health_actor;
mod lookout;
mod metrics_actor;
mod orchestration_event_actor;
mod result_processor_actor;
mod retention_actor;
mod step_enqueuer_actor;
mod task_finalizer_actor;
mod task_initializer_actor;
mod task_request_actor;
mod worker_event_actor;

use std::sync::Arc;

pub use health_actor::{HealthActor, HealthCheckMessage};
pub use metrics_actor::{MetricsActor, SampleMetricsMessage};
pub use orchestration_event_actor::{
    ChangedElsewhereMessage, OrchestrationEventActor, SweepDueMessage,
};
pub use result_processor_actor::{
    ProcessStepResultMessage, ProcessedStepResult, ResultProcessorActor,
};
pub use retention_actor::{CleanupMessage, RetentionActor};
pub use step_enqueuer_actor::{EnqueueStepsMessage, StepEnqueuerActor};
pub use task_finalizer_actor::{FinalizeTaskMessage, SweepMessage, TaskFinalizerActor};
pub use task_initializer_actor::{InitializeTaskMessage, TaskInitializerActor};
pub use task_request_actor::{
    ProcessTaskRequestMessage, ProcessTaskRequestsMessage, TaskRequestActor,
};
pub use worker_event_actor::{LookForStepsMessage, WorkerEventActor};

use super::context::SystemContext;
use crate::actor::Actor;

/// An actor of the orchestration: it works with the shared [`SystemContext`].
pub trait OrchestrationActor: Actor {
    /// The dependencies it shares with the others.
    fn context(&self) -> &Arc<SystemContext>;
}
