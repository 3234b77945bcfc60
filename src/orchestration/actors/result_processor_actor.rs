//! Records what became of steps, as many in one commit as wait.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::gather::{Go, gather};
use super::{OrchestrationActor, StepEnqueuerActor};
use crate::actor::{Actor, Batch, Context, Handle, Handler, Message, Receive, Reply};
use crate::orchestration::context::SystemContext;
use crate::orchestration::lifecycle::{ProcessResultError, ResultProcessor, StepExecutionResult};
use crate::orchestration::store::{ClaimedStep, CompletionOutcome};

/// The outcome of one attempt. Answered when it is recorded durably.
#[derive(Debug)]
pub struct ProcessStepResultMessage {
    /// The outcome.
    pub result: StepExecutionResult,
    /// Whether the sender can go on with another step at once: then one may be claimed for it in the same
    /// commit, and comes with the answer.
    pub take_next: bool,
}

/// The answer to a [`ProcessStepResultMessage`].
#[derive(Debug, Clone)]
pub struct ProcessedStepResult {
    /// What became of the outcome.
    pub outcome: CompletionOutcome,
    /// A step claimed for the sender, only if it said that it can take one. It is to be run, or its lease given
    /// back.
    pub next: Option<ClaimedStep>,
}

impl Message for ProcessStepResultMessage {
    type Response = ProcessedStepResult;
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
    gathered: Vec<(ProcessStepResultMessage, Reply<ProcessStepResultMessage>)>,
    gathering: bool,
}

impl ResultProcessorActor {
    pub(crate) fn new(context: Arc<SystemContext>, enqueuer: Handle<StepEnqueuerActor>) -> Self {
        Self {
            processor: ResultProcessor::new(Arc::clone(&context)),
            context,
            enqueuer,
            gathered: Vec::new(),
            gathering: false,
        }
    }

    /// Records what was gathered.
    async fn record(&mut self) {
        self.gathering = false;
        let gathered = std::mem::take(&mut self.gathered);
        let mut results = Vec::with_capacity(gathered.len());
        let mut replies = Vec::with_capacity(gathered.len());
        let mut room = 0;
        for (message, reply) in gathered {
            let take_next = message.take_next && !reply.is_abandoned();
            room += usize::from(take_next);
            results.push(message.result);
            replies.push((reply, take_next));
        }
        let verdict = self.processor.process(results, room).await;
        let mut claimed = verdict.claimed.into_iter();
        for ((reply, take_next), answer) in replies.into_iter().zip(verdict.answers) {
            let answer = answer.map(|outcome| ProcessedStepResult {
                outcome,
                next: take_next.then(|| claimed.next()).flatten(),
            });
            self.context.results().fetch_add(1, Ordering::Relaxed);
            reply.send(answer);
        }
        // Nobody is left to run these.
        self.context
            .start_steps(claimed.collect(), Vec::new())
            .await;
        if verdict.more_to_claim {
            StepEnqueuerActor::nudge(&self.enqueuer);
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

    async fn receive(&mut self, batch: Batch<ProcessStepResultMessage>, ctx: &Context<Self>) {
        self.gathered.extend(batch);
        if !self.gathering {
            self.gathering = gather(ctx).await;
        }
        if !self.gathering {
            self.record().await;
        }
    }
}

impl Handler<Go> for ResultProcessorActor {
    async fn handle(&mut self, _: Go, _: &Context<Self>) -> Result<(), Infallible> {
        self.record().await;
        Ok(())
    }
}
