//! Claims steps into the free places of this process.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::OrchestrationActor;
use crate::actor::{Actor, Batch, Context, Handle, Message, Receive, SendError};
use crate::orchestration::context::SystemContext;
use crate::orchestration::lifecycle::{ClaimError, StepEnqueuer};
use crate::patterns::timer::{self, Timer};

/// Says that there may be steps to claim. Answered with how many were started.
#[derive(Debug)]
pub struct EnqueueStepsMessage;

impl Message for EnqueueStepsMessage {
    type Response = u32;
    type Error = ClaimError;
}

/// Owns claiming: one claim at a time, of as many steps as there are free places. What is claimed together with
/// a submission or an outcome does not come this way; what those leave, and what others submit, does.
#[derive(Debug)]
pub struct StepEnqueuerActor {
    context: Arc<SystemContext>,
    enqueuer: StepEnqueuer,
    /// Set after a claim has failed.
    again: Option<Timer>,
    next_due: Option<Timer>,
}

impl StepEnqueuerActor {
    const AGAIN_AFTER: Duration = Duration::from_millis(250);

    pub(crate) fn new(context: Arc<SystemContext>) -> Self {
        Self {
            enqueuer: StepEnqueuer::new(Arc::clone(&context)),
            context,
            again: None,
            next_due: None,
        }
    }

    /// Tells an enqueuer that there may be steps to claim. Never waits.
    pub(crate) fn nudge(enqueuer: &Handle<Self>) {
        match enqueuer.try_tell(EnqueueStepsMessage) {
            // A full mailbox holds nudges enough; a closed one is shutting down. The poll finds what is left.
            Ok(_) | Err(SendError::Full(_) | SendError::Closed(_)) => {}
            Err(error) => {
                tracing::warn!(%error, "the step enqueuer could not be told of new steps");
            }
        }
    }

    /// Claims while there is room and something to claim; returns how many steps were started.
    async fn dispatch(&mut self, ctx: &Context<Self>) -> Result<u32, ClaimError> {
        let mut started = 0;
        loop {
            let places = self.context.dispatcher().places(usize::MAX);
            if places.is_empty() {
                return Ok(started);
            }
            let room = places.len();
            let claims = match self.enqueuer.claim(room).await {
                Ok(claims) => claims,
                Err(error) => {
                    // The breaker has told of an outage.
                    if error.0.retry_after().is_none() {
                        tracing::warn!(%error, "it is tried again");
                    }
                    self.again = Some(timer::once(ctx.weak(), Self::AGAIN_AFTER, || {
                        EnqueueStepsMessage
                    }));
                    return Err(error);
                }
            };
            let claimed = claims.steps.len();
            started += u32::try_from(claimed).unwrap_or(u32::MAX);
            self.context.start_steps(claims.steps, places).await;
            if claimed < room {
                self.wake_when_due(claims.next_due, ctx);
                return Ok(started);
            }
        }
    }

    /// Looks again when the next retry falls due, if the poll would come later.
    fn wake_when_due(&mut self, next_due: Option<Duration>, ctx: &Context<Self>) {
        let soon = next_due.filter(|due| *due < self.context.config().idle_interval);
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
}

impl OrchestrationActor for StepEnqueuerActor {
    fn context(&self) -> &Arc<SystemContext> {
        &self.context
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
