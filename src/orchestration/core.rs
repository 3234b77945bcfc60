//! The one thing that a service starts and shuts down.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::actors::{
    EnqueueStepsMessage, FinalizeTaskMessage, HealthCheckMessage, ProcessStepResultMessage,
    ProcessTaskRequestMessage, ProcessTaskRequestsMessage, TaskFinalizerActor,
};
use super::assembly::start_actors;
use super::command::{CommandError, OrchestrationCommand, OrchestrationResponse, ProcessingStats};
use super::config::{ConfigError, OrchestrationConfig};
use super::context::{ClaimMode, SystemContext};
use super::events::OrchestrationEvent;
use super::handle::TaskHandle;
use super::lifecycle::{HealthReporter, SubmitError, SubmitOptions, SystemHealth, TaskRequest};
use super::operator::TaskError;
use super::store::{Store, StoreError};
use super::template::TaskTemplate;
use super::worker::{HandlerTable, ProcessIdentity};
use crate::actor::{AskError, Exit, Handle, Message};
use crate::registry::{ActorRegistry, BuildError, Routes, ShutdownReport, StartError};

/// Everything that runs workflows in this process: the lifecycle actors, a worker, and the registry that holds
/// them. See the [module documentation](super) for an example.
///
/// Dropping it without [`shutdown`](Self::shutdown) stops the actors without draining them; steps that were
/// running run again later, here or elsewhere.
#[derive(Debug)]
pub struct OrchestrationCore {
    context: Arc<SystemContext>,
    registry: ActorRegistry,
    finalizer: Handle<TaskFinalizerActor>,
    health: HealthReporter,
    report: tokio::sync::OnceCell<Arc<OrchestrationReport>>,
}

/// The orchestration could not be started. Whatever had started was stopped again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store did not let this process make itself known.
    #[error("this process could not be registered in the store: {0}")]
    Register(#[source] StoreError),
    /// The actors do not fit together.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An actor did not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// How the orchestration ended: every actor's account.
#[derive(Debug)]
pub struct OrchestrationReport {
    /// The actors of the registry, in the order they ended.
    pub registry: Arc<ShutdownReport>,
    /// The store's own actors, which end last.
    pub store: Vec<Arc<Exit>>,
    /// Why this process's leases could not be given back, if they could not. They run out by themselves.
    pub unregister: Option<String>,
}

impl OrchestrationReport {
    /// Whether the conservation equation holds for every actor: no accepted message is unaccounted for.
    pub fn is_balanced(&self) -> bool {
        self.registry.is_balanced() && self.store.iter().all(|exit| exit.account.is_balanced())
    }
}

impl fmt::Display for OrchestrationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.registry)?;
        for exit in &self.store {
            write!(f, "\n{exit}")?;
        }
        if let Some(problem) = &self.unregister {
            write!(f, "\nleases were not given back: {problem}")?;
        }
        Ok(())
    }
}

/// Puts an [`OrchestrationCore`] together.
#[must_use = "nothing runs until `start` is called"]
pub struct CoreBuilder {
    store: Arc<dyn Store>,
    handlers: HandlerTable,
    config: OrchestrationConfig,
    claims: ClaimMode,
    identity: ProcessIdentity,
}

impl fmt::Debug for CoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoreBuilder")
            .field("handlers", &self.handlers)
            .field("config", &self.config)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

impl CoreBuilder {
    /// The step handlers of this process. Default: none, which makes a process that only submits.
    pub fn handlers(mut self, handlers: HandlerTable) -> Self {
        self.handlers = handlers;
        self
    }

    /// Bounds and intervals.
    pub fn config(mut self, config: OrchestrationConfig) -> Self {
        self.config = config;
        self
    }

    /// Which steps are claimed from the start. Default: [`ClaimMode::Any`].
    pub fn claims(mut self, claims: ClaimMode) -> Self {
        self.claims = claims;
        self
    }

    /// Who this process is to the others. Default: [`ProcessIdentity::current`]. Give the same value to
    /// handlers that mark their child processes with it.
    pub fn identity(mut self, identity: ProcessIdentity) -> Self {
        self.identity = identity;
        self
    }

    /// Starts the actors in order, each ready before the next.
    ///
    /// # Errors
    ///
    /// [`CoreError`]; whatever had started was stopped again.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping the future stops what has started, but the process stays registered in the
    /// store until its time to live is over.
    pub async fn start(self) -> Result<OrchestrationCore, CoreError> {
        self.config.validate()?;
        let context = Arc::new(SystemContext::new(
            self.store,
            self.config,
            self.identity,
            self.handlers,
            self.claims,
        ));
        let asked = Instant::now();
        context
            .store()
            .register_process(context.registration(self.claims))
            .await
            .map_err(CoreError::Register)?;
        context.heard(asked);
        match start_actors(&context).await {
            Ok(actors) => Ok(OrchestrationCore {
                context,
                registry: actors.registry,
                finalizer: actors.finalizer,
                health: actors.health,
                report: tokio::sync::OnceCell::new(),
            }),
            Err(error) => {
                if let Err(unregister) = context.store().unregister_process(context.process()).await
                {
                    tracing::warn!(error = %unregister, "a process that did not start could not be unregistered");
                }
                Err(error)
            }
        }
    }
}

impl OrchestrationCore {
    /// Begins to put a core together, on a store.
    pub fn builder(store: Arc<dyn Store>) -> CoreBuilder {
        CoreBuilder {
            store,
            handlers: HandlerTable::default(),
            config: OrchestrationConfig::default(),
            claims: ClaimMode::Any,
            identity: ProcessIdentity::current(),
        }
    }

    /// Stores a task that runs `template` with `input`, durably, and returns a handle to it. If the same
    /// template was submitted with the same input before, the handle is to that task
    /// ([`TaskHandle::duplicate`]) and nothing is run twice.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; submitting again is always safe, and [`SubmitError::retry_after`] says when it makes sense,
    /// if waiting helps.
    ///
    /// # Cancel safety
    ///
    /// The task may be stored although the future is dropped. Submitting again finds it.
    pub async fn submit(
        &self,
        template: &Arc<TaskTemplate>,
        input: impl Serialize,
    ) -> Result<TaskHandle, SubmitError> {
        self.submit_with(template, input, SubmitOptions::default())
            .await
    }

    /// [`submit`](Self::submit) with further wishes.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    ///
    /// # Cancel safety
    ///
    /// As [`submit`](Self::submit), but with [`IdentityStrategy::Unique`](super::lifecycle::IdentityStrategy)
    /// a repeated submission is another task.
    pub async fn submit_with(
        &self,
        template: &Arc<TaskTemplate>,
        input: impl Serialize,
        options: SubmitOptions,
    ) -> Result<TaskHandle, SubmitError> {
        let input =
            serde_json::to_value(input).map_err(|error| SubmitError::Input(error.to_string()))?;
        let request = TaskRequest {
            template: Arc::clone(template),
            input,
            options,
        };
        let receipt = self.admit(ProcessTaskRequestMessage(request)).await?;
        Ok(self.handle(receipt.task_uuid, receipt.duplicate))
    }

    /// Stores many tasks, as many in one commit as fit; one answer for each, in order. One that is refused harms
    /// no other.
    ///
    /// # Errors
    ///
    /// Each answer has its own [`SubmitError`]; submitting again is always safe.
    ///
    /// # Cancel safety
    ///
    /// Some of the tasks may be stored although the future is dropped. Submitting again finds them, unless their
    /// identity is [`IdentityStrategy::Unique`](super::lifecycle::IdentityStrategy).
    pub async fn submit_many(
        &self,
        requests: impl IntoIterator<Item = TaskRequest>,
    ) -> Vec<Result<TaskHandle, SubmitError>> {
        /// More would make a transaction that others have to wait for.
        const AT_ONCE: usize = 256;
        let mut requests = requests.into_iter();
        let mut handles = Vec::new();
        loop {
            let chunk: Vec<TaskRequest> = requests.by_ref().take(AT_ONCE).collect();
            let count = chunk.len();
            if count == 0 {
                return handles;
            }
            match self.admit(ProcessTaskRequestsMessage(chunk)).await {
                Ok(receipts) => handles.extend(receipts.into_iter().map(|receipt| {
                    receipt.map(|receipt| self.handle(receipt.task_uuid, receipt.duplicate))
                })),
                Err(error) => {
                    handles.extend((0..count).map(|_| Err(error.clone())));
                }
            }
        }
    }

    /// Asks for something to be stored, and waits for room no longer than is configured.
    async fn admit<M>(&self, message: M) -> Result<M::Response, SubmitError>
    where
        M: Message,
        SubmitError: From<AskError<M>>,
    {
        let message = match self.registry.try_ask(message).await {
            Err(AskError::Full(message)) => message,
            answer => return answer.map_err(SubmitError::from),
        };
        let waited = self.context.config().submit_patience;
        let accepted = timeout(waited, self.registry.ask(message).enqueue()).await;
        let Ok(accepted) = accepted else {
            /// Less makes no sense, however impatient this core is.
            const LEAST: Duration = Duration::from_millis(100);
            return Err(SubmitError::Overloaded {
                waiting: self.context.config().mailbox_capacity,
                waited,
                retry_after: waited.max(LEAST),
            });
        };
        let pending = accepted.map_err(|error| SubmitError::Unavailable {
            reason: error.to_string(),
        })?;
        pending.await.map_err(SubmitError::from)
    }

    /// A handle to a task in the store, or `None` if there is no such task.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn task(&self, task_uuid: Uuid) -> Result<Option<TaskHandle>, StoreError> {
        let found = self.context.store().task(task_uuid).await?;
        Ok(found.map(|_| self.handle(task_uuid, None)))
    }

    pub(super) fn handle(
        &self,
        task_uuid: Uuid,
        duplicate: Option<super::state::TaskState>,
    ) -> TaskHandle {
        TaskHandle::new(
            Arc::clone(&self.context),
            self.finalizer.clone(),
            task_uuid,
            duplicate,
        )
    }

    /// What the actors share.
    pub fn context(&self) -> &Arc<SystemContext> {
        &self.context
    }

    /// The routes to the actors, for whoever sends them [messages](super::actors) directly.
    pub fn routes(&self) -> Routes {
        self.registry.routes()
    }

    /// The store, for reading.
    pub fn store(&self) -> &Arc<dyn Store> {
        self.context.store()
    }

    /// What this process does to tasks, as it happens. A listener that falls behind misses events.
    pub fn events(&self) -> broadcast::Receiver<OrchestrationEvent> {
        self.context.events()
    }

    /// How many steps run in this process, or have run and are being recorded.
    pub fn running_steps(&self) -> usize {
        self.context.running().len()
    }

    /// Changes which steps this process claims, and tells the other processes. Steps that run go on.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the others could not be told; the claim mode is then as it was.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the mode may have been announced and not taken, and nothing is claimed. Call it
    /// again.
    pub async fn set_claims(&self, mode: ClaimMode) -> Result<(), StoreError> {
        if self.context.claim_mode() == mode {
            return Ok(());
        }
        let before = self.context.claims().send_replace(ClaimMode::Paused);
        let registered = self
            .context
            .store()
            .register_process(self.context.registration(mode))
            .await;
        let now = if registered.is_ok() { mode } else { before };
        self.context.claims().send_replace(now);
        // A full mailbox holds nudges enough.
        let _ = self.registry.try_tell(EnqueueStepsMessage);
        registered
    }

    /// Carries out a command given as data.
    ///
    /// # Errors
    ///
    /// [`CommandError`], of the kind of the command.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the command may be carried out although the future is dropped. Every command is safe to
    /// repeat.
    pub async fn execute(
        &self,
        command: OrchestrationCommand,
    ) -> Result<OrchestrationResponse, CommandError> {
        match command {
            OrchestrationCommand::InitializeTask(request) => {
                let receipt = self.admit(ProcessTaskRequestMessage(request)).await?;
                Ok(OrchestrationResponse::InitializeTask(receipt))
            }
            OrchestrationCommand::EnqueueReadySteps => {
                let handed_out = self.registry.ask(EnqueueStepsMessage).await?;
                Ok(OrchestrationResponse::EnqueueReadySteps(handed_out))
            }
            OrchestrationCommand::ProcessStepResult(result) => {
                let message = ProcessStepResultMessage {
                    result,
                    take_next: false,
                };
                let processed = self.registry.ask(message).await?;
                Ok(OrchestrationResponse::ProcessStepResult(processed.outcome))
            }
            OrchestrationCommand::FinalizeTask { task_uuid, kind } => {
                let message = FinalizeTaskMessage { task_uuid, kind };
                let outcome = self.registry.ask(message).await?;
                Ok(OrchestrationResponse::FinalizeTask(outcome))
            }
            OrchestrationCommand::GetProcessingStats => Ok(
                OrchestrationResponse::GetProcessingStats(self.processing_stats()),
            ),
            OrchestrationCommand::HealthCheck => {
                Ok(OrchestrationResponse::HealthCheck(self.health().await))
            }
            OrchestrationCommand::Shutdown => {
                Ok(OrchestrationResponse::Shutdown(self.shutdown().await))
            }
        }
    }

    /// What the lifecycle actors have done since the start.
    pub fn processing_stats(&self) -> ProcessingStats {
        let actors = self.registry.stats();
        let handled = |name: &str| {
            actors
                .iter()
                .filter(|(actor, _)| **actor == *name)
                .map(|(_, stats)| stats.account.ok + stats.account.failed + stats.account.forwarded)
                .sum()
        };
        ProcessingStats {
            task_requests_processed: handled("TaskRequestActor"),
            step_results_processed: self.context.results().load(Ordering::Relaxed),
            tasks_finalized: handled("TaskFinalizerActor"),
            processing_errors: actors
                .iter()
                .map(|(_, stats)| stats.account.failed + stats.account.panicked)
                .sum(),
            census: self.context.census(),
            actors,
        }
    }

    /// Whether everything works. Never waits behind work, and answers within seconds whatever the store does.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn health(&self) -> SystemHealth {
        match self.registry.ask(HealthCheckMessage).await {
            Ok(health) => health,
            // The actor has ended, as the others have, or will.
            Err(_) => self.health.report().await,
        }
    }

    /// Waits until the actors have ended: after [`shutdown`](Self::shutdown), or because one of them kept
    /// failing and took the others down. A service that outlives its orchestration watches this.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn closed(&self) -> Arc<ShutdownReport> {
        self.registry.closed().await
    }

    /// Takes no more requests, lets running steps end within
    /// [`drain`](OrchestrationConfig::drain), drains every mailbox in reverse start order, gives back the
    /// leases of steps that did not end, and closes the store. Every caller gets the same report.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo it: the actors stop; call it again for the report and to close the
    /// store.
    pub async fn shutdown(&self) -> Arc<OrchestrationReport> {
        let report = self
            .report
            .get_or_init(|| async {
                let registry = self.registry.shutdown().await;
                let store = self.context.store();
                let unregistered = store.unregister_process(self.context.process()).await;
                Arc::new(OrchestrationReport {
                    registry,
                    store: store.close().await,
                    unregister: unregistered.err().map(|error| error.to_string()),
                })
            })
            .await;
        Arc::clone(report)
    }
}

impl<M> From<AskError<M>> for CommandError
where
    M: Message,
    M::Error: Into<CommandError> + fmt::Display,
{
    fn from(error: AskError<M>) -> Self {
        match error {
            AskError::Handler(error) => error.into(),
            other => Self::Unavailable {
                reason: other.to_string(),
            },
        }
    }
}

impl From<super::lifecycle::FinalizeError> for CommandError {
    fn from(error: super::lifecycle::FinalizeError) -> Self {
        Self::Task(TaskError::Store(error.0))
    }
}
