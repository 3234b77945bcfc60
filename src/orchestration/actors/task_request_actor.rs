//! Where tasks come in: validates a request, then hands it on together with its reply.

use std::convert::Infallible;
use std::sync::Arc;

use super::{InitializeTaskMessage, OrchestrationActor};
use crate::actor::{Actor, AskError, Batch, Context, Handle, Message, Receive, SendError};
use crate::orchestration::actors::TaskInitializerActor;
use crate::orchestration::context::SystemContext;
use crate::orchestration::lifecycle::{
    SubmitError, TaskReceipt, TaskRequest, TaskRequestProcessor,
};

/// Asks for a template to be run. Answered when the task is stored durably.
#[derive(Debug)]
pub struct ProcessTaskRequestMessage(pub TaskRequest);

impl Message for ProcessTaskRequestMessage {
    type Response = TaskReceipt;
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
                // Waits while the initializer's mailbox is full: that is how a slow database slows submitters.
                Ok(prepared) => {
                    if let Err(error) = self
                        .initializer
                        .tell(InitializeTaskMessage { prepared, reply })
                        .await
                    {
                        refuse(error);
                    }
                }
            }
        }
    }
}

fn refuse(error: SendError<InitializeTaskMessage>) {
    let reason = error.to_string();
    let message = error.into_message();
    message.reply.err(SubmitError::Unavailable { reason });
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
