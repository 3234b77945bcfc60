//! Which actors there are, who sends to whom, and in which order they start.

use std::sync::Arc;

use super::actors::{
    CleanupMessage, EnqueueStepsMessage, FinalizeTaskMessage, InitializeTaskMessage,
    ProcessStepResultMessage, ProcessTaskRequestMessage, ProcessTaskRequestsMessage,
    ResultProcessorActor, RetentionActor, StepEnqueuerActor, SweepMessage, TaskFinalizerActor,
    TaskInitializerActor, TaskRequestActor,
};
use super::context::SystemContext;
use super::core::CoreError;
use super::worker::{WorkerActor, WorkerStatusMessage};
use crate::actor::Handle;
use crate::registry::ActorRegistry;
use crate::supervision::RestartPolicy;

/// Dependencies first: draining in reverse stops the sources of work before what the work ends in.
pub(super) async fn start_actors(
    context: &Arc<SystemContext>,
) -> Result<(ActorRegistry, Handle<TaskFinalizerActor>), CoreError> {
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
    {
        let (context, target) = (Arc::clone(context), initializer.clone());
        let make = move || TaskRequestActor::new(Arc::clone(&context), initializer.clone());
        registry
            .supervise(make, policy)
            .critical()
            .capacity(capacity)
            .handles::<ProcessTaskRequestMessage>()
            .handles::<ProcessTaskRequestsMessage>()
            .sends_to(&target)
            .register()?;
    }
    if let Some(older_than) = config.retention {
        let context = Arc::clone(context);
        registry
            .supervise(
                move || RetentionActor::new(Arc::clone(&context), older_than),
                policy,
            )
            .handles::<CleanupMessage>()
            .register()?;
    }
    let stop_deadline = WorkerActor::stop_deadline(context);
    let (context, targets) = (Arc::clone(context), (enqueuer.clone(), results.clone()));
    let make = move || WorkerActor::new(Arc::clone(&context), enqueuer.clone(), results.clone());
    registry
        .supervise(make, policy)
        .critical()
        .stop_deadline(stop_deadline)
        .handles::<WorkerStatusMessage>()
        .sends_to(&targets.0)
        .sends_to(&targets.1)
        .register()?;
    Ok((registry.start().await?, finalizer))
}
