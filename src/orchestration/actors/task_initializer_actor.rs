//! Stores new tasks, as many in one commit as wait.

use std::convert::Infallible;
use std::sync::Arc;

use super::{OrchestrationActor, ProcessTaskRequestMessage, StepEnqueuerActor};
use crate::actor::{Actor, Batch, Context, Handle, Message, Receive, Reply};
use crate::orchestration::context::SystemContext;
use crate::orchestration::lifecycle::{PreparedTask, TaskInitializer};

/// A request found good, with the reply that its submitter waits for. Only the
/// [`TaskRequestActor`](super::TaskRequestActor) makes one.
#[derive(Debug)]
pub struct InitializeTaskMessage {
    pub(crate) prepared: PreparedTask,
    pub(crate) reply: Reply<ProcessTaskRequestMessage>,
}

impl Message for InitializeTaskMessage {
    type Response = ();
    type Error = Infallible;
}

/// Inserts tasks, steps and edges in one transaction, claims in it what there is room for, then answers the
/// submitters.
#[derive(Debug)]
pub struct TaskInitializerActor {
    context: Arc<SystemContext>,
    initializer: TaskInitializer,
    enqueuer: Handle<StepEnqueuerActor>,
}

impl TaskInitializerActor {
    pub(crate) fn new(context: Arc<SystemContext>, enqueuer: Handle<StepEnqueuerActor>) -> Self {
        Self {
            initializer: TaskInitializer::new(Arc::clone(&context)),
            context,
            enqueuer,
        }
    }
}

impl Actor for TaskInitializerActor {
    type Error = Infallible;
}

impl OrchestrationActor for TaskInitializerActor {
    fn context(&self) -> &Arc<SystemContext> {
        &self.context
    }
}

impl Receive<InitializeTaskMessage> for TaskInitializerActor {
    const MAX_BATCH: usize = 256;

    async fn receive(&mut self, batch: Batch<InitializeTaskMessage>, _: &Context<Self>) {
        let mut prepared = Vec::with_capacity(batch.len());
        let mut replies = Vec::with_capacity(batch.len());
        for (message, told) in batch {
            prepared.push(message.prepared);
            replies.push(message.reply);
            told.ok(());
        }
        let initialized = self.initializer.initialize(prepared).await;
        for (reply, answer) in replies.into_iter().zip(initialized.answers) {
            reply.send(answer);
        }
        if initialized.more_to_claim {
            StepEnqueuerActor::nudge(&self.enqueuer);
        }
    }
}
