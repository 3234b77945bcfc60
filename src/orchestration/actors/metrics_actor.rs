//! Counts what waits and what runs, now and then.

use std::convert::Infallible;
use std::sync::Arc;

use super::OrchestrationActor;
use crate::actor::{Actor, Batch, Context, Message, Receive};
use crate::orchestration::context::SystemContext;
use crate::orchestration::store::{Census, StoreError};
use crate::patterns::timer::{self, Timer};

/// Count now. Answered with the counts.
#[derive(Debug)]
pub struct SampleMetricsMessage;

impl Message for SampleMetricsMessage {
    type Response = Census;
    type Error = Arc<StoreError>;
}

/// Takes a [`Census`] every [`metrics_interval`](crate::orchestration::OrchestrationConfig::metrics_interval), which
/// is one query, and keeps the latest ([`SystemContext::census`]). With the feature `metrics` it is published through
/// the facade of that name, as gauges:
///
/// | name | what |
/// |---|---|
/// | `postroom_steps_ready` | steps that wait to be claimed |
/// | `postroom_steps_running` | steps that run |
/// | `postroom_steps_retry_wait` | steps that wait for their time |
/// | `postroom_tasks_blocked` | tasks whose steps no live process can run |
/// | `postroom_processes` | processes that are known |
/// | `postroom_oldest_ready_seconds` | how long ago the oldest task with a step that waits to be claimed was submitted; 0 if none does |
#[derive(Debug)]
pub struct MetricsActor {
    context: Arc<SystemContext>,
    samples: Option<Timer>,
}

impl MetricsActor {
    pub(crate) fn new(context: Arc<SystemContext>) -> Self {
        Self {
            context,
            samples: None,
        }
    }
}

impl Actor for MetricsActor {
    type Error = Infallible;

    async fn started(&mut self, ctx: &Context<Self>) -> Result<(), Infallible> {
        let period = self.context.config().metrics_interval;
        let samples = timer::interval(ctx.weak(), period, || SampleMetricsMessage);
        self.samples = Some(samples);
        Ok(())
    }
}

impl OrchestrationActor for MetricsActor {
    fn context(&self) -> &Arc<SystemContext> {
        &self.context
    }
}

impl Receive<SampleMetricsMessage> for MetricsActor {
    const MAX_BATCH: usize = 1_024;

    async fn receive(&mut self, batch: Batch<SampleMetricsMessage>, _: &Context<Self>) {
        let counted = self.context.store().census().await.map_err(Arc::new);
        match &counted {
            Ok(census) => {
                self.context.counted(census.clone());
                #[cfg(feature = "metrics")]
                publish(census);
            }
            // The breaker has told of an outage.
            Err(error) if error.retry_after().is_some() => {}
            Err(error) => tracing::warn!(%error, "counting failed; it is tried again"),
        }
        for (_, reply) in batch {
            reply.send(counted.clone());
        }
    }
}

#[cfg(feature = "metrics")]
fn publish(census: &Census) {
    let counts = [
        ("postroom_steps_ready", census.ready),
        ("postroom_steps_running", census.running),
        ("postroom_steps_retry_wait", census.retry_wait),
        ("postroom_tasks_blocked", census.blocked_tasks),
        ("postroom_processes", census.processes),
    ];
    for (what, count) in counts {
        metrics::gauge!(what).set(count);
    }
    let oldest = census.oldest_ready.unwrap_or_default();
    metrics::gauge!("postroom_oldest_ready_seconds").set(oldest.as_secs_f64());
}
