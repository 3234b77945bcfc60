//! Ends tasks on every path but a step's completion, and takes back what dead processes left behind.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{OrchestrationActor, StepEnqueuerActor};
use crate::actor::{Actor, Batch, Context, Handle, Message, Receive};
use crate::orchestration::context::SystemContext;
use crate::orchestration::lifecycle::{FinalizeError, Swept, TaskFinalizer};
use crate::orchestration::store::{OperationKind, OperationOutcome};

/// Finalise a task, or do to it what an operator asks. Answered when it is recorded durably.
#[derive(Debug)]
pub struct FinalizeTaskMessage {
    /// Which task.
    pub task_uuid: Uuid,
    /// What to do with it.
    pub kind: OperationKind,
}

impl Message for FinalizeTaskMessage {
    type Response = OperationOutcome;
    type Error = FinalizeError;
}

/// Look for leases that ran out, for dead processes, and for tasks that nobody can run.
#[derive(Debug)]
pub struct SweepMessage;

impl Message for SweepMessage {
    type Response = Swept;
    type Error = FinalizeError;
}

/// Owns the finalising compare-and-swap for every path but a step's completion.
#[derive(Debug)]
pub struct TaskFinalizerActor {
    context: Arc<SystemContext>,
    finalizer: TaskFinalizer,
    enqueuer: Handle<StepEnqueuerActor>,
}

impl TaskFinalizerActor {
    /// So long the first sweep may take: less than an actor may take to start.
    const FIRST_SWEEP: Duration = Duration::from_secs(5);

    pub(crate) fn new(context: Arc<SystemContext>, enqueuer: Handle<StepEnqueuerActor>) -> Self {
        Self {
            finalizer: TaskFinalizer::new(Arc::clone(&context)),
            context,
            enqueuer,
        }
    }

    async fn sweep(&self) -> Result<Swept, FinalizeError> {
        let swept = self.finalizer.sweep().await;
        match &swept {
            Ok(Swept { report, .. }) => {
                if !report.rescued.is_empty() || !report.unblocked.is_empty() {
                    StepEnqueuerActor::nudge(&self.enqueuer);
                }
            }
            // The breaker has told of an outage.
            Err(error) if error.retry_after().is_some() => {}
            Err(error) => tracing::warn!(%error, "sweeping failed; it is tried again"),
        }
        swept.map_err(|error| FinalizeError(Arc::new(error)))
    }
}

impl Actor for TaskFinalizerActor {
    type Error = Infallible;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), Infallible> {
        // The first sweep belongs to the start: what an earlier process left behind is taken over at once. Should it
        // fail, or wait for a database that has gone away, there is another one soon.
        let _ = tokio::time::timeout(Self::FIRST_SWEEP, self.sweep()).await;
        Ok(())
    }
}

impl OrchestrationActor for TaskFinalizerActor {
    fn context(&self) -> &Arc<SystemContext> {
        &self.context
    }
}

impl Receive<FinalizeTaskMessage> for TaskFinalizerActor {
    const MAX_BATCH: usize = 256;

    async fn receive(&mut self, batch: Batch<FinalizeTaskMessage>, _: &Context<Self>) {
        let (operations, replies): (Vec<_>, Vec<_>) = batch
            .map(|(message, reply)| ((message.task_uuid, message.kind), reply))
            .unzip();
        let more_to_claim = operations.iter().any(|(_, kind)| kind.may_ready_steps());
        let answers = self.finalizer.operate(operations).await;
        for (reply, answer) in replies.into_iter().zip(answers) {
            reply.send(answer);
        }
        if more_to_claim {
            StepEnqueuerActor::nudge(&self.enqueuer);
        }
    }
}

impl Receive<SweepMessage> for TaskFinalizerActor {
    const MAX_BATCH: usize = 1_024;

    async fn receive(&mut self, batch: Batch<SweepMessage>, _: &Context<Self>) {
        let swept = self.sweep().await;
        for (_, reply) in batch {
            reply.send(swept.clone());
        }
    }
}
