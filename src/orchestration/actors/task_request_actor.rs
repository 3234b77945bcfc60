//! Where tasks come in: validates a request, then hands it on together with its reply.

use std::convert::Infallible;
use std::sync::Arc;

use super::task_initializer_actor::Submitter;
use super::{InitializeTaskMessage, OrchestrationActor};
use crate::actor::{Actor, AskError, Batch, Context, Handle, Message, Receive};
use crate::orchestration::actors::TaskInitializerActor;
use crate::orchestration::context::SystemContext;
use crate::orchestration::lifecycle::{
    PreparedTask, SubmitError, TaskReceipt, TaskRequest, TaskRequestProcessor,
};

/// Asks for a template to be run. Answered when the task is stored durably.
#[derive(Debug)]
pub struct ProcessTaskRequestMessage(pub TaskRequest);

impl Message for ProcessTaskRequestMessage {
    type Response = TaskReceipt;
    type Error = SubmitError;
}

/// Asks for several templates to be run. Answered when all that were found good are stored durably, one answer
/// for each, in order.
#[derive(Debug)]
pub struct ProcessTaskRequestsMessage(pub Vec<TaskRequest>);

impl Message for ProcessTaskRequestsMessage {
    type Response = Vec<Result<TaskReceipt, SubmitError>>;
    type Error = SubmitError;
}

/// Validates requests and resolves which task they mean; what is good goes on to the
/// [`TaskInitializerActor`] with the asker's reply token.
#[derive(Debug)]
pub struct TaskRequestActor {
    context: Arc<SystemContext>,
    processor: TaskRequestProcessor,
    initializer: Handle<TaskInitializerActor>,
}

impl TaskRequestActor {
    pub(crate) fn new(
        context: Arc<SystemContext>,
        initializer: Handle<TaskInitializerActor>,
    ) -> Self {
        Self {
            processor: TaskRequestProcessor::new(Arc::clone(&context)),
            context,
            initializer,
        }
    }
}

impl Actor for TaskRequestActor {
    type Error = Infallible;
}

impl OrchestrationActor for TaskRequestActor {
    fn context(&self) -> &Arc<SystemContext> {
        &self.context
    }
}

impl Receive<ProcessTaskRequestMessage> for TaskRequestActor {
    async fn receive(&mut self, batch: Batch<ProcessTaskRequestMessage>, _: &Context<Self>) {
        for (ProcessTaskRequestMessage(request), reply) in batch {
            match self.processor.prepare(request) {
                Err(error) => reply.err(error),
                Ok(prepared) => {
                    let submitter = Submitter::One(reply);
                    self.pass_on(vec![Ok(prepared)], submitter).await;
                }
            }
        }
    }
}

impl Receive<ProcessTaskRequestsMessage> for TaskRequestActor {
    async fn receive(&mut self, batch: Batch<ProcessTaskRequestsMessage>, _: &Context<Self>) {
        for (ProcessTaskRequestsMessage(requests), reply) in batch {
            let prepared = requests
                .into_iter()
                .map(|request| self.processor.prepare(request))
                .collect();
            self.pass_on(prepared, Submitter::Many(reply)).await;
        }
    }
}

impl TaskRequestActor {
    /// Waits while the initializer's mailbox is full: that is how a slow database slows submitters.
    async fn pass_on(
        &self,
        prepared: Vec<Result<PreparedTask, SubmitError>>,
        submitter: Submitter,
    ) {
        let message = InitializeTaskMessage {
            prepared,
            submitter,
        };
        if let Err(error) = self.initializer.tell(message).await {
            let reason = error.to_string();
            error.into_message().submitter.refuse(reason);
        }
    }
}

impl From<AskError<ProcessTaskRequestMessage>> for SubmitError {
    fn from(error: AskError<ProcessTaskRequestMessage>) -> Self {
        match error {
            AskError::Handler(error) => error,
            other => Self::Unavailable {
                reason: other.to_string(),
            },
        }
    }
}

impl From<AskError<ProcessTaskRequestsMessage>> for SubmitError {
    fn from(error: AskError<ProcessTaskRequestsMessage>) -> Self {
        match error {
            AskError::Handler(error) => error,
            other => Self::Unavailable {
                reason: other.to_string(),
            },
        }
    }
}
