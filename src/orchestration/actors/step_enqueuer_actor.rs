//! Claims steps for workers that wait for them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::OrchestrationActor;
use crate::actor::{Actor, Batch, Context, Handle, Message, Receive, Reply, SendError};
use crate::orchestration::context::SystemContext;
use crate::orchestration::lifecycle::{ClaimError, StepEnqueuer};
use crate::orchestration::store::ClaimedStep;
use crate::patterns::timer::{self, Timer};

/// A worker asks for steps to run. Answered when there are some, which may be much later.
#[derive(Debug)]
pub struct ClaimStepsMessage {
    /// At most this many.
    pub limit: u32,
}

impl Message for ClaimStepsMessage {
    type Response = Vec<ClaimedStep>;
    type Error = ClaimError;
}

/// Says that there may be steps to claim. Answered with how many were handed to waiting workers.
#[derive(Debug)]
pub struct EnqueueStepsMessage;

impl Message for EnqueueStepsMessage {
    type Response = u32;
    type Error = ClaimError;
}

/// Owns claiming: one claim at a time, for whichever worker has waited longest.
#[derive(Debug)]
pub struct StepEnqueuerActor {
    context: Arc<SystemContext>,
    enqueuer: StepEnqueuer,
    // One entry per worker of this process.
    waiting: VecDeque<(u32, Reply<ClaimStepsMessage>)>,
    poll: Option<Timer>,
    next_due: Option<Timer>,
}

impl StepEnqueuerActor {
    pub(crate) fn new(context: Arc<SystemContext>) -> Self {
        Self {
            enqueuer: StepEnqueuer::new(Arc::clone(&context)),
            context,
            waiting: VecDeque::new(),
            poll: None,
            next_due: None,
        }
    }

    /// Tells an enqueuer that there may be steps to claim. Never waits.
    pub(crate) fn nudge(enqueuer: &Handle<Self>) {
        match enqueuer.try_tell(EnqueueStepsMessage) {
            // A full mailbox holds nudges enough; a closed one is shutting down. The poll finds what is left.
            Ok(()) | Err(SendError::Full(_) | SendError::Closed(_)) => {}
            Err(error) => {
                tracing::warn!(%error, "the step enqueuer could not be told of new steps");
            }
        }
    }

    /// Claims for the workers that wait; returns how many steps were handed out.
    async fn dispatch(&mut self, ctx: &Context<Self>) -> Result<u32, ClaimError> {
        let mut handed_out = 0;
        loop {
            self.waiting.retain(|(_, reply)| !reply.is_abandoned());
            let Some(&(limit, _)) = self.waiting.front() else {
                return Ok(handed_out);
            };
            let claimed = self.enqueuer.claim(limit).await;
            let Some((limit, reply)) = self.waiting.pop_front() else {
                return Ok(handed_out);
            };
            match claimed {
                Err(error) => {
                    reply.err(error.clone());
                    return Err(error);
                }
                Ok(claims) if claims.steps.is_empty() => {
                    self.waiting.push_front((limit, reply));
                    self.wake_when_due(claims.next_due, ctx);
                    return Ok(handed_out);
                }
                Ok(claims) => {
                    handed_out += u32::try_from(claims.steps.len()).unwrap_or(u32::MAX);
                    reply.ok(claims.steps);
                }
            }
        }
    }

    /// Looks again when the next retry falls due, if the poll would come later.
    fn wake_when_due(&mut self, next_due: Option<Duration>, ctx: &Context<Self>) {
        let soon = next_due.filter(|due| *due < self.context.config().poll_interval);
        self.next_due = soon.map(|due| {
            // The store counts whole milliseconds: one more makes sure that it is due.
            timer::once(ctx.weak(), due + Duration::from_millis(1), || {
                EnqueueStepsMessage
            })
        });
    }
}

impl Actor for StepEnqueuerActor {
    type Error = Infallible;

    async fn started(&mut self, ctx: &Context<Self>) -> Result<(), Infallible> {
        let period = self.context.config().poll_interval;
        self.poll = Some(timer::interval(ctx.weak(), period, || EnqueueStepsMessage));
        Ok(())
    }
}

impl OrchestrationActor for StepEnqueuerActor {
    fn context(&self) -> &Arc<SystemContext> {
        &self.context
    }
}

impl Receive<ClaimStepsMessage> for StepEnqueuerActor {
    async fn receive(&mut self, batch: Batch<ClaimStepsMessage>, ctx: &Context<Self>) {
        for (message, reply) in batch {
            self.waiting.push_back((message.limit, reply));
        }
        // A failed claim has been answered to the worker that waited, which tries again.
        let _ = self.dispatch(ctx).await;
    }
}

impl Receive<EnqueueStepsMessage> for StepEnqueuerActor {
    // However many nudges wait, one look answers them all.
    const MAX_BATCH: usize = 1_024;

    async fn receive(&mut self, batch: Batch<EnqueueStepsMessage>, ctx: &Context<Self>) {
        let outcome = self.dispatch(ctx).await;
        for (_, reply) in batch {
            reply.send(outcome.clone());
        }
    }
}
