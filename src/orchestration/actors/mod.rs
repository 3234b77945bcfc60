//! One thin actor per lifecycle component: each gives its service a mailbox, and nothing else.
//!
//! ```text
//!  OrchestrationCommand ── registry route ──► mailbox ──► service ──► one transaction per batch ──► replies
//!
//!  submit ─► TaskRequestActor ─► TaskInitializerActor ─┐
//!                                                      ├─► StepEnqueuerActor ◄── WorkerActor (asks for steps)
//!  WorkerActor ─► ResultProcessorActor ────────────────┤
//!  operator, sweep ─► TaskFinalizerActor ──────────────┘
//! ```
//!
//! The graph of sends has no cycle, which the registry checks when it is built: workers ask for steps, the
//! enqueuer does not push them. Actors start with the one that all others need, and drain in reverse: first
//! the sources of work, last what the work ends in.

mod result_processor_actor;
mod retention_actor;
mod step_enqueuer_actor;
mod task_finalizer_actor;
mod task_initializer_actor;
mod task_request_actor;

use std::sync::Arc;

pub use result_processor_actor::{ProcessStepResultMessage, ResultProcessorActor};
pub use retention_actor::{CleanupMessage, RetentionActor};
pub use step_enqueuer_actor::{ClaimStepsMessage, EnqueueStepsMessage, StepEnqueuerActor};
pub use task_finalizer_actor::{FinalizeTaskMessage, SweepMessage, TaskFinalizerActor};
pub use task_initializer_actor::{InitializeTaskMessage, TaskInitializerActor};
pub use task_request_actor::{
    ProcessTaskRequestMessage, ProcessTaskRequestsMessage, TaskRequestActor,
};

use super::context::SystemContext;
use crate::actor::Actor;

/// An actor of the orchestration: it works with the shared [`SystemContext`].
pub trait OrchestrationActor: Actor {
    /// The dependencies it shares with the others.
    fn context(&self) -> &Arc<SystemContext>;
}
