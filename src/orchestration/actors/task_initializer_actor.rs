//! Stores new tasks, as many in one commit as wait.

use std::convert::Infallible;
use std::sync::Arc;

use super::gather::{Go, gather};
use super::{
    OrchestrationActor, ProcessTaskRequestMessage, ProcessTaskRequestsMessage, StepEnqueuerActor,
};
use crate::actor::{Actor, Batch, Context, Handle, Handler, Message, Receive, Reply};
use crate::orchestration::context::SystemContext;
use crate::orchestration::lifecycle::{PreparedTask, SubmitError, TaskInitializer, TaskReceipt};

/// Requests found good (or not), with the reply that their submitter waits for. Only the
/// [`TaskRequestActor`](super::TaskRequestActor) makes one.
#[derive(Debug)]
pub struct InitializeTaskMessage {
    pub(crate) prepared: Vec<Result<PreparedTask, SubmitError>>,
    pub(crate) submitter: Submitter,
}

/// Who waits for the answer: to one request, or to several at once.
#[derive(Debug)]
pub(crate) enum Submitter {
    One(Reply<ProcessTaskRequestMessage>),
    Many(Reply<ProcessTaskRequestsMessage>),
}

impl Submitter {
    fn answer(self, mut answers: Vec<Result<TaskReceipt, SubmitError>>) {
        match self {
            Self::Many(reply) => reply.ok(answers),
            // Without an answer the token is dropped, and the asker told so.
            Self::One(reply) => {
                if let Some(answer) = answers.pop() {
                    reply.send(answer);
                }
            }
        }
    }

    pub(crate) fn refuse(self, reason: String) {
        let error = SubmitError::Unavailable { reason };
        match self {
            Self::One(reply) => reply.err(error),
            Self::Many(reply) => reply.err(error),
        }
    }
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
    gathered: Vec<InitializeTaskMessage>,
    gathering: bool,
}

impl TaskInitializerActor {
    pub(crate) fn new(context: Arc<SystemContext>, enqueuer: Handle<StepEnqueuerActor>) -> Self {
        Self {
            initializer: TaskInitializer::new(Arc::clone(&context)),
            context,
            enqueuer,
            gathered: Vec::new(),
            gathering: false,
        }
    }

    /// Stores what was gathered.
    async fn store(&mut self) {
        self.gathering = false;
        let gathered = std::mem::take(&mut self.gathered);
        // All in one commit; then each submitter gets what is its own.
        let mut good = Vec::with_capacity(gathered.len());
        let mut submitters = Vec::with_capacity(gathered.len());
        for message in gathered {
            let judged: Vec<Result<(), SubmitError>> = message
                .prepared
                .into_iter()
                .map(|prepared| prepared.map(|prepared| good.push(prepared)))
                .collect();
            submitters.push((judged, message.submitter));
        }
        let initialized = self.initializer.initialize(good).await;
        let mut answers = initialized.answers.into_iter();
        for (judged, submitter) in submitters {
            let own = judged
                .into_iter()
                .filter_map(|judged| match judged {
                    Ok(()) => answers.next(),
                    Err(error) => Some(Err(error)),
                })
                .collect();
            submitter.answer(own);
        }
        if initialized.more_to_claim {
            StepEnqueuerActor::nudge(&self.enqueuer);
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

    async fn receive(&mut self, batch: Batch<InitializeTaskMessage>, ctx: &Context<Self>) {
        for (message, told) in batch {
            self.gathered.push(message);
            told.ok(());
        }
        if !self.gathering {
            self.gathering = gather(ctx).await;
        }
        if !self.gathering {
            self.store().await;
        }
    }
}

impl Handler<Go> for TaskInitializerActor {
    async fn handle(&mut self, _: Go, _: &Context<Self>) -> Result<(), Infallible> {
        self.store().await;
        Ok(())
    }
}
