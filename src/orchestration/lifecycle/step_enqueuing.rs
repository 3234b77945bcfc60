//! Claims runnable steps for workers.

use std::sync::Arc;

use crate::orchestration::context::SystemContext;
use crate::orchestration::store::{ClaimRequest, Claims, StoreError};

/// A claim failed; nothing was claimed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("steps could not be claimed: {0}")]
pub struct ClaimError(#[source] pub Arc<StoreError>);

/// The logic of the step enqueuer actor.
#[derive(Debug, Clone)]
pub(crate) struct StepEnqueuer {
    context: Arc<SystemContext>,
}

impl StepEnqueuer {
    pub(crate) fn new(context: Arc<SystemContext>) -> Self {
        Self { context }
    }

    /// Claims at most `limit` steps that this process can run, as its claim mode allows.
    pub(crate) async fn claim(&self, limit: u32) -> Result<Claims, ClaimError> {
        let Some(scope) = self.context.claim_mode().scope() else {
            return Ok(Claims::default());
        };
        self.context
            .store()
            .claim(ClaimRequest {
                process: self.context.process(),
                scope,
                callables: self.context.handlers().names(),
                serves: self.context.config().serves.clone(),
                limit,
                lease: self.context.config().lease,
            })
            .await
            .map_err(|error| ClaimError(Arc::new(error)))
    }
}
