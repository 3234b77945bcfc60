//! Records what became of steps, as many in one commit as wait.

use std::convert::Infallible;
use std::sync::Arc;

use super::{OrchestrationActor, StepEnqueuerActor};
use crate::actor::{Actor, Batch, Context, Handle, Message, Receive};
use crate::orchestration::context::SystemContext;
use crate::orchestration::lifecycle::{ProcessResultError, ResultProcessor, StepExecutionResult};
use crate::orchestration::store::CompletionOutcome;

/// The outcome of one attempt. Answered when it is recorded durably.
#[derive(Debug)]
pub struct ProcessStepResultMessage(pub StepExecutionResult);

impl Message for ProcessStepResultMessage {
    type Response = CompletionOutcome;
    type Error = ProcessResultError;
    // A result is worth recording even if the worker has stopped waiting.
    const RUN_IF_ABANDONED: bool = true;
}

/// Owns completion: result, attempt, children, counters and the task's end in one transaction per batch.
#[derive(Debug)]
pub struct ResultProcessorActor {
    context: Arc<SystemContext>,
    processor: ResultProcessor,
    enqueuer: Handle<StepEnqueuerActor>,
}

impl ResultProcessorActor {
    pub(crate) fn new(context: Arc<SystemContext>, enqueuer: Handle<StepEnqueuerActor>) -> Self {
        Self {
            processor: ResultProcessor::new(Arc::clone(&context)),
            context,
            enqueuer,
        }
    }
}

impl Actor for ResultProcessorActor {
    type Error = Infallible;
}

impl OrchestrationActor for ResultProcessorActor {
    fn context(&self) -> &Arc<SystemContext> {
        &self.context
    }
}

impl Receive<ProcessStepResultMessage> for ResultProcessorActor {
    const MAX_BATCH: usize = 256;

    async fn receive(&mut self, batch: Batch<ProcessStepResultMessage>, _: &Context<Self>) {
        let (results, replies): (Vec<_>, Vec<_>) =
            batch.map(|(message, reply)| (message.0, reply)).unzip();
        let verdict = self.processor.process(results).await;
        for (reply, answer) in replies.into_iter().zip(verdict.answers) {
            reply.send(answer);
        }
        if verdict.more_to_claim {
            StepEnqueuerActor::nudge(&self.enqueuer);
        }
    }
}
