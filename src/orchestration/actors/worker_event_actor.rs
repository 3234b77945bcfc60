//! Has steps claimed that other processes have made ready.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::lookout::{Poller, is_quiet, listen};
use super::{EnqueueStepsMessage, OrchestrationActor, StepEnqueuerActor};
use crate::actor::{Actor, Batch, Context, Handle, Message, Receive};
use crate::orchestration::context::SystemContext;
use crate::orchestration::store::Hints;

/// There may be steps that nobody told this process about.
#[derive(Debug)]
pub struct LookForStepsMessage;

impl Message for LookForStepsMessage {
    type Response = ();
    type Error = Infallible;
}

/// Listens to the store's hints, and polls for what they miss: each time the [`StepEnqueuerActor`] has a look.
#[derive(Debug)]
pub struct WorkerEventActor {
    context: Arc<SystemContext>,
    enqueuer: Handle<StepEnqueuerActor>,
    hints: Option<Hints>,
    poller: Poller,
    listener: Option<AbortOnDropHandle<()>>,
}

impl WorkerEventActor {
    pub(crate) fn new(
        context: Arc<SystemContext>,
        enqueuer: Handle<StepEnqueuerActor>,
        hints: Option<Hints>,
    ) -> Self {
        let config = context.config();
        Self {
            poller: Poller::new(config.poll_interval, config.idle_interval),
            context,
            enqueuer,
            hints,
            listener: None,
        }
    }
}

impl WorkerEventActor {
    /// Returns whether nothing was found, and nothing runs.
    async fn claim(&self) -> bool {
        // What goes wrong is told by whoever looks.
        let looked = self.enqueuer.ask(EnqueueStepsMessage).await;
        matches!(looked, Ok(0)) && self.context.running().is_empty()
    }
}

impl Actor for WorkerEventActor {
    type Error = Infallible;

    async fn started(&mut self, ctx: &Context<Self>) -> Result<(), Infallible> {
        let hints = self.hints.take();
        self.listener = hints.map(|hints| listen(ctx.weak(), hints, || LookForStepsMessage));
        self.poller
            .pause(ctx.weak(), false, Duration::ZERO, || LookForStepsMessage);
        Ok(())
    }
}

impl OrchestrationActor for WorkerEventActor {
    fn context(&self) -> &Arc<SystemContext> {
        &self.context
    }
}

impl Receive<LookForStepsMessage> for WorkerEventActor {
    // One look answers them all.
    const MAX_BATCH: usize = 1_024;

    async fn receive(&mut self, batch: Batch<LookForStepsMessage>, ctx: &Context<Self>) {
        let quiet = self.poller.rests() && is_quiet(&self.context).await || self.claim().await;
        self.poller
            .pause(ctx.weak(), quiet, Duration::ZERO, || LookForStepsMessage);
        for (_, reply) in batch {
            reply.ok(());
        }
    }
}
