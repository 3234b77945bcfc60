//! Has the orchestration look after what other processes do, and leave behind.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::lookout::{Poller, is_quiet, listen};
use super::{OrchestrationActor, SweepMessage, TaskFinalizerActor};
use crate::actor::{Actor, Batch, Context, Handle, Message, Receive};
use crate::orchestration::context::SystemContext;
use crate::orchestration::lifecycle::Swept;
use crate::orchestration::store::Hints;

/// Somebody has changed something: whoever waits for a task's end may look.
#[derive(Debug)]
pub struct ChangedElsewhereMessage;

impl Message for ChangedElsewhereMessage {
    type Response = ();
    type Error = Infallible;
}

/// It is time for a sweep.
#[derive(Debug)]
pub struct SweepDueMessage;

impl Message for SweepDueMessage {
    type Response = ();
    type Error = Infallible;
}

/// Listens to the store's hints for those who wait for a task that another process may end; and has the
/// [`TaskFinalizerActor`] sweep, rarely while no step runs anywhere.
#[derive(Debug)]
pub struct OrchestrationEventActor {
    context: Arc<SystemContext>,
    finalizer: Handle<TaskFinalizerActor>,
    hints: Option<Hints>,
    poller: Poller,
    /// How often it was time since the last sweep.
    skipped: u32,
    listener: Option<AbortOnDropHandle<()>>,
}

impl OrchestrationEventActor {
    pub(crate) fn new(
        context: Arc<SystemContext>,
        finalizer: Handle<TaskFinalizerActor>,
        hints: Option<Hints>,
    ) -> Self {
        let config = context.config();
        Self {
            poller: Poller::new(config.sweep_interval, config.idle_interval)
                .slowing_down_to(config.lease / 2),
            context,
            finalizer,
            hints,
            skipped: 0,
            listener: None,
        }
    }
}

impl OrchestrationEventActor {
    /// So many times a sweep is left out at most when there is nothing to take back: it also forgets processes that
    /// have been silent for long.
    const SWEEP_ANYWAY: u32 = 24;

    /// Returns whether there was nothing to do, and nothing runs; and how long it took.
    async fn sweep(&mut self) -> (bool, Duration) {
        self.skipped = 0;
        let since = Instant::now();
        // What goes wrong is told by whoever sweeps.
        match self.finalizer.ask(SweepMessage).await {
            Ok(Swept { quiet, .. }) => {
                let quiet = quiet && self.context.running().is_empty();
                (quiet, since.elapsed())
            }
            Err(_) => (false, since.elapsed()),
        }
    }
}

impl Actor for OrchestrationEventActor {
    type Error = Infallible;

    async fn started(&mut self, ctx: &Context<Self>) -> Result<(), Infallible> {
        let hints = self.hints.take();
        self.listener = hints.map(|hints| listen(ctx.weak(), hints, || ChangedElsewhereMessage));
        self.poller
            .pause(ctx.weak(), false, Duration::ZERO, || SweepDueMessage);
        Ok(())
    }
}

impl OrchestrationActor for OrchestrationEventActor {
    fn context(&self) -> &Arc<SystemContext> {
        &self.context
    }
}

impl Receive<ChangedElsewhereMessage> for OrchestrationEventActor {
    // They all say the same.
    const MAX_BATCH: usize = 1_024;

    async fn receive(&mut self, batch: Batch<ChangedElsewhereMessage>, _: &Context<Self>) {
        self.context.announcer().look_again();
        for (_, reply) in batch {
            reply.ok(());
        }
    }
}

impl Receive<SweepDueMessage> for OrchestrationEventActor {
    const MAX_BATCH: usize = 1_024;

    async fn receive(&mut self, batch: Batch<SweepDueMessage>, ctx: &Context<Self>) {
        self.skipped += 1;
        let skip = self.skipped < Self::SWEEP_ANYWAY
            && self.poller.rests()
            && is_quiet(&self.context).await;
        let (quiet, took) = if skip {
            (true, Duration::ZERO)
        } else {
            self.sweep().await
        };
        self.poller
            .pause(ctx.weak(), quiet, took, || SweepDueMessage);
        for (_, reply) in batch {
            reply.ok(());
        }
    }
}
