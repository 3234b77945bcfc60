//! One simulated process: the services of a core, without its mailboxes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::shapes::WORK;
use crate::orchestration::OrchestrationConfig;
use crate::orchestration::context::{ClaimMode, SystemContext};
use crate::orchestration::lifecycle::{
    ResultProcessor, StepEnqueuer, TaskFinalizer, TaskInitializer, TaskRequestProcessor,
};
use crate::orchestration::store::{ClaimedStep, Lease, Store};
use crate::orchestration::worker::{Heart, ProcessIdentity, StepContext, StepError, StepHandlers};

pub(super) struct Process {
    pub(super) context: Arc<SystemContext>,
    pub(super) requests: TaskRequestProcessor,
    pub(super) initializer: TaskInitializer,
    pub(super) enqueuer: StepEnqueuer,
    pub(super) results: ResultProcessor,
    pub(super) finalizer: TaskFinalizer,
    pub(super) heart: Heart,
    /// What its handlers are at.
    pub(super) running: BTreeMap<Lease, (Arc<ClaimedStep>, CancellationToken)>,
    /// It does nothing before this moment.
    pub(super) stalled_until: u64,
}

/// Steps that a process runs at a time.
pub(super) const CONCURRENCY: usize = 3;

/// Longer intervals than a service has, so that fewer events tell the same story.
fn config() -> OrchestrationConfig {
    OrchestrationConfig {
        concurrency: CONCURRENCY,
        poll_interval: Duration::from_secs(2),
        sweep_interval: Duration::from_secs(5),
        heartbeat: Duration::from_secs(5),
        lease: Duration::from_secs(15),
        process_ttl: Duration::from_secs(15),
        max_lost_leases: 3,
        completion_retries: 3,
        ..OrchestrationConfig::default()
    }
}

impl Process {
    pub(super) fn new(id: Uuid, store: Arc<dyn Store>, seed: u64) -> Result<Self, String> {
        let handlers = StepHandlers::new()
            .register(WORK, |(): (), _: StepContext| async {
                Ok::<_, StepError>(())
            })
            .build()
            .map_err(|error| error.to_string())?;
        let identity = ProcessIdentity {
            process: id,
            // Nobody can tell from outside whether it lives.
            host: String::new(),
            pid: 0,
            pid_birth: String::new(),
        };
        let context = SystemContext::new(store, config(), identity, handlers, ClaimMode::Any);
        let context = Arc::new(context.seeded(seed));
        let of = || Arc::clone(&context);
        Ok(Self {
            requests: TaskRequestProcessor::new(of()),
            initializer: TaskInitializer::new(of()),
            enqueuer: StepEnqueuer::new(of()),
            results: ResultProcessor::new(of()),
            finalizer: TaskFinalizer::new(of()),
            heart: Heart::new(),
            running: BTreeMap::new(),
            stalled_until: 0,
            context,
        })
    }

    pub(super) fn free(&self) -> usize {
        CONCURRENCY.saturating_sub(self.context.running().len())
    }
}
