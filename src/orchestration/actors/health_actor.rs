//! Answers whether everything works.

use std::convert::Infallible;
use std::sync::Arc;

use super::OrchestrationActor;
use crate::actor::{Actor, Batch, Context, Message, Receive};
use crate::orchestration::context::SystemContext;
use crate::orchestration::lifecycle::{HealthReporter, SystemHealth};

/// Asks whether everything works. Answered within seconds, whatever the store does.
#[derive(Debug)]
pub struct HealthCheckMessage;

impl Message for HealthCheckMessage {
    type Response = SystemHealth;
    type Error = Infallible;
}

/// Answers health checks, all that wait with one look. It sends to nobody and reads past the store's writer, so that
/// health never waits behind work.
#[derive(Debug)]
pub struct HealthActor {
    context: Arc<SystemContext>,
    reporter: HealthReporter,
}

impl HealthActor {
    pub(crate) fn new(context: Arc<SystemContext>, reporter: HealthReporter) -> Self {
        Self { context, reporter }
    }
}

impl Actor for HealthActor {
    type Error = Infallible;
}

impl OrchestrationActor for HealthActor {
    fn context(&self) -> &Arc<SystemContext> {
        &self.context
    }
}

impl Receive<HealthCheckMessage> for HealthActor {
    const MAX_BATCH: usize = 1_024;

    async fn receive(&mut self, batch: Batch<HealthCheckMessage>, _: &Context<Self>) {
        let health = self.reporter.report().await;
        for (_, reply) in batch {
            reply.ok(health.clone());
        }
    }
}
