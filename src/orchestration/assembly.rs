//! Which actors there are, who sends to whom, and in which order they start.

use std::sync::Arc;

use super::actors::{
    ChangedElsewhereMessage, CleanupMessage, EnqueueStepsMessage, FinalizeTaskMessage, HealthActor,
    HealthCheckMessage, InitializeTaskMessage, LookForStepsMessage, MetricsActor,
    OrchestrationEventActor, ProcessStepResultMessage, ProcessTaskRequestMessage,
    ProcessTaskRequestsMessage, ResultProcessorActor, RetentionActor, SampleMetricsMessage,
    StepEnqueuerActor, SweepDueMessage, SweepMessage, TaskFinalizerActor, TaskInitializerActor,
    TaskRequestActor, WorkerEventActor,
};
use super::context::SystemContext;
use super::core::CoreError;
use super::lifecycle::HealthReporter;
use super::worker::{WorkerActor, WorkerStatusMessage};
use crate::actor::Handle;
use crate::registry::{ActorRegistry, ActorRegistryBuilder};
use crate::supervision::RestartPolicy;

/// The actors, and what the core needs of them.
pub(super) struct Actors {
    pub(super) registry: ActorRegistry,
    pub(super) finalizer: Handle<TaskFinalizerActor>,
    pub(super) health: HealthReporter,
}

/// Dependencies first: draining in reverse stops the sources of work before what the work ends in.
pub(super) async fn start_actors(context: &Arc<SystemContext>) -> Result<Actors, CoreError> {
    let config = context.config();
    let capacity = config.mailbox_capacity;
    let mut registry = ActorRegistry::builder();
    registry.shutdown_deadline(config.shutdown);
    // An actor that panics is made anew and goes on with its mailbox. One that keeps panicking takes the whole
    // core down: half an orchestration helps nobody.
    let policy = RestartPolicy::permanent();
    let enqueuer = {
        let context = Arc::clone(context);
        registry
            .supervise(move || StepEnqueuerActor::new(Arc::clone(&context)), policy)
            .critical()
            .capacity(capacity)
            .handles::<EnqueueStepsMessage>()
            .register()?
    };
    let finalizer = {
        let (context, enqueuer) = (Arc::clone(context), enqueuer.clone());
        let target = enqueuer.clone();
        let make = move || TaskFinalizerActor::new(Arc::clone(&context), enqueuer.clone());
        registry
            .supervise(make, policy)
            .critical()
            .capacity(capacity)
            .handles::<FinalizeTaskMessage>()
            .handles::<SweepMessage>()
            .sends_to(&target)
            .register()?
    };
    let results = {
        let (context, enqueuer) = (Arc::clone(context), enqueuer.clone());
        let target = enqueuer.clone();
        let make = move || ResultProcessorActor::new(Arc::clone(&context), enqueuer.clone());
        registry
            .supervise(make, policy)
            .critical()
            .capacity(capacity)
            .handles::<ProcessStepResultMessage>()
            .sends_to(&target)
            .register()?
    };
    let initializer = {
        let (context, enqueuer) = (Arc::clone(context), enqueuer.clone());
        let target = enqueuer.clone();
        let make = move || TaskInitializerActor::new(Arc::clone(&context), enqueuer.clone());
        registry
            .supervise(make, policy)
            .critical()
            .capacity(capacity)
            .handles::<InitializeTaskMessage>()
            .sends_to(&target)
            .register()?
    };
    let requests = {
        let (context, target) = (Arc::clone(context), initializer.clone());
        let initializer = initializer.clone();
        let make = move || TaskRequestActor::new(Arc::clone(&context), initializer.clone());
        registry
            .supervise(make, policy)
            .critical()
            .capacity(capacity)
            .handles::<ProcessTaskRequestMessage>()
            .handles::<ProcessTaskRequestsMessage>()
            .sends_to(&target)
            .register()?
    };
    let worker = {
        let stop_deadline = WorkerActor::stop_deadline(context);
        let (context, targets) = (Arc::clone(context), (enqueuer.clone(), results.clone()));
        let (enqueuer, results) = targets.clone();
        let make =
            move || WorkerActor::new(Arc::clone(&context), enqueuer.clone(), results.clone());
        registry
            .supervise(make, policy)
            .critical()
            .stop_deadline(stop_deadline)
            .handles::<WorkerStatusMessage>()
            .sends_to(&targets.0)
            .sends_to(&targets.1)
            .register()?
    };
    let mut health = HealthReporter::new(Arc::clone(context));
    health.watch(&enqueuer);
    health.watch(&finalizer);
    health.watch(&results);
    health.watch(&initializer);
    health.watch(&requests);
    health.watch(&worker);
    add_observers(&mut registry, context, &health)?;
    add_event_actors(&mut registry, context, &enqueuer, &finalizer)?;
    Ok(Actors {
        registry: registry.start().await?,
        finalizer,
        health,
    })
}

/// Those that look, and tidy up. The orchestration goes on without them.
fn add_observers(
    registry: &mut ActorRegistryBuilder,
    context: &Arc<SystemContext>,
    health: &HealthReporter,
) -> Result<(), CoreError> {
    let policy = RestartPolicy::permanent();
    if let Some(older_than) = context.config().retention {
        let context = Arc::clone(context);
        registry
            .supervise(
                move || RetentionActor::new(Arc::clone(&context), older_than),
                policy,
            )
            .handles::<CleanupMessage>()
            .register()?;
    }
    {
        let (context, health) = (Arc::clone(context), health.clone());
        let make = move || HealthActor::new(Arc::clone(&context), health.clone());
        registry
            .supervise(make, policy)
            .handles::<HealthCheckMessage>()
            .register()?;
    }
    let context = Arc::clone(context);
    registry
        .supervise(move || MetricsActor::new(Arc::clone(&context)), policy)
        .handles::<SampleMetricsMessage>()
        .register()?;
    Ok(())
}

/// Those that notice what other processes do: sources of work, and so the last to start and the first to stop.
fn add_event_actors(
    registry: &mut ActorRegistryBuilder,
    context: &Arc<SystemContext>,
    enqueuer: &Handle<StepEnqueuerActor>,
    finalizer: &Handle<TaskFinalizerActor>,
) -> Result<(), CoreError> {
    let policy = RestartPolicy::permanent();
    let hints = context.store().hints();
    {
        let (context, target) = (Arc::clone(context), finalizer.clone());
        let hints = hints.clone();
        let make = move || {
            OrchestrationEventActor::new(Arc::clone(&context), target.clone(), hints.clone())
        };
        registry
            .supervise(make, policy)
            .critical()
            .handles::<ChangedElsewhereMessage>()
            .handles::<SweepDueMessage>()
            .sends_to(finalizer)
            .register()?;
    }
    let (context, target) = (Arc::clone(context), enqueuer.clone());
    let make = move || WorkerEventActor::new(Arc::clone(&context), target.clone(), hints.clone());
    registry
        .supervise(make, policy)
        .critical()
        .handles::<LookForStepsMessage>()
        .sends_to(enqueuer)
        .register()?;
    Ok(())
}
