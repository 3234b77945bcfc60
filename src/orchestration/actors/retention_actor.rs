//! Deletes what ended long ago, now and then.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::OrchestrationActor;
use crate::actor::{Actor, Context, Handler, Message};
use crate::orchestration::context::SystemContext;
use crate::orchestration::delete_old_tasks;
use crate::orchestration::store::StoreError;
use crate::patterns::timer::{self, Timer};

/// Delete the tasks that ended long enough ago. Answered with how many they were.
#[derive(Debug)]
pub struct CleanupMessage;

impl Message for CleanupMessage {
    type Response = u64;
    type Error = StoreError;
}

/// Deletes tasks that ended at least [`retention`](crate::orchestration::OrchestrationConfig::retention) ago, once
/// a minute. There is none without that setting.
#[derive(Debug)]
pub struct RetentionActor {
    context: Arc<SystemContext>,
    older_than: Duration,
    ticks: Option<Timer>,
}

impl RetentionActor {
    const PERIOD: Duration = Duration::from_mins(1);

    pub(crate) fn new(context: Arc<SystemContext>, older_than: Duration) -> Self {
        Self {
            context,
            older_than,
            ticks: None,
        }
    }
}

impl Actor for RetentionActor {
    type Error = Infallible;

    async fn started(&mut self, ctx: &Context<Self>) -> Result<(), Infallible> {
        self.ticks = Some(timer::interval(ctx.weak(), Self::PERIOD, || CleanupMessage));
        Ok(())
    }
}

impl OrchestrationActor for RetentionActor {
    fn context(&self) -> &Arc<SystemContext> {
        &self.context
    }
}

impl Handler<CleanupMessage> for RetentionActor {
    async fn handle(&mut self, _: CleanupMessage, _: &Context<Self>) -> Result<u64, StoreError> {
        let deleted = delete_old_tasks(&**self.context.store(), self.older_than, false).await?;
        if deleted > 0 {
            tracing::info!(tasks = deleted, "deleted tasks that ended long ago");
        }
        Ok(deleted)
    }
}
