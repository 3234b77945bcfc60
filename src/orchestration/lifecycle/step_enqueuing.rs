//! Claims runnable steps for workers.

use std::sync::Arc;

use crate::orchestration::context::SystemContext;
use crate::orchestration::store::{Claims, StoreError};

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
    pub(crate) async fn claim(&self, limit: usize) -> Result<Claims, ClaimError> {
        let Some(request) = self.context.claim_request(limit) else {
            return Ok(Claims::default());
        };
        self.context
            .store()
            .claim(request)
            .await
            .map_err(|error| ClaimError(Arc::new(error)))
    }
}
