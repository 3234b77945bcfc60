//! What every component of the orchestration is given.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::config::OrchestrationConfig;
use super::definition::Definitions;
use super::events::{Announcer, OrchestrationEvent};
use super::store::{
    Breaker, BreakerStatus, Census, ClaimRequest, ClaimScope, ClaimedStep, GuardedStore,
    ProcessRegistration, Store,
};
use super::worker::{Dispatcher, HandlerTable, Place, ProcessIdentity, RunningSteps};

/// Which steps this process claims at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimMode {
    /// None. Steps that run already go on.
    Paused,
    /// Any step that it has a handler for.
    Any,
    /// Only the steps of this task.
    Only(Uuid),
}

impl ClaimMode {
    pub(crate) fn scope(self) -> Option<ClaimScope> {
        match self {
            Self::Paused => None,
            Self::Any => Some(ClaimScope::Any),
            Self::Only(task_uuid) => Some(ClaimScope::Task(task_uuid)),
        }
    }
}

/// The dependencies that the actors and services share: the store, the handlers, the configuration and this
/// process's identity. Made by [`OrchestrationCore`](super::OrchestrationCore); there is one per core.
pub struct SystemContext {
    store: Arc<dyn Store>,
    breaker: Arc<Breaker>,
    config: OrchestrationConfig,
    identity: ProcessIdentity,
    handlers: HandlerTable,
    definitions: Definitions,
    announcer: Announcer,
    running: RunningSteps,
    dispatcher: Arc<Dispatcher>,
    claims: watch::Sender<ClaimMode>,
    /// Results of steps that were handled.
    results: AtomicU64,
    heard: watch::Sender<Instant>,
    census: watch::Sender<Option<Census>>,
    random: Mutex<fastrand::Rng>,
}

impl SystemContext {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        config: OrchestrationConfig,
        identity: ProcessIdentity,
        handlers: HandlerTable,
        claims: ClaimMode,
    ) -> Self {
        let breaker = Breaker::new(config.breaker_failures, config.breaker_open);
        let breaker = Arc::new(breaker);
        let store: Arc<dyn Store> = Arc::new(GuardedStore::new(store, Arc::clone(&breaker)));
        Self {
            definitions: Definitions::new(config.definition_cache),
            announcer: Announcer::new(),
            running: RunningSteps::default(),
            dispatcher: Dispatcher::new(config.concurrency),
            claims: watch::Sender::new(claims),
            results: AtomicU64::new(0),
            heard: watch::Sender::new(Instant::now()),
            census: watch::Sender::new(None),
            random: Mutex::new(fastrand::Rng::new()),
            store,
            breaker,
            config,
            identity,
            handlers,
        }
    }

    /// Where everything is stored, behind a circuit breaker.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The circuit breaker around the store, as it stands.
    pub fn breaker(&self) -> BreakerStatus {
        self.breaker.status()
    }

    /// How long ago the store last heard of this process, and its leases were renewed.
    pub fn last_heartbeat(&self) -> Duration {
        self.heard.borrow().elapsed()
    }

    /// The store has heard of this process, which it asked to be heard at this time.
    pub(crate) fn heard(&self, asked: Instant) {
        self.heard.send_replace(asked);
    }

    /// What waited and what ran in the whole database when it was counted last; `None` before that.
    pub fn census(&self) -> Option<Census> {
        self.census.borrow().clone()
    }

    pub(crate) fn counted(&self, census: Census) {
        self.census.send_replace(Some(census));
    }

    /// The configuration, as it was validated at the start.
    pub fn config(&self) -> &OrchestrationConfig {
        &self.config
    }

    /// Who this process is to the others.
    pub fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// The step handlers of this process.
    pub fn handlers(&self) -> &HandlerTable {
        &self.handlers
    }

    /// What this process does to tasks, as it happens. A listener that falls behind misses events.
    pub fn events(&self) -> broadcast::Receiver<OrchestrationEvent> {
        self.announcer.subscribe()
    }

    /// Which steps this process claims at the moment.
    pub fn claim_mode(&self) -> ClaimMode {
        *self.claims.borrow()
    }

    pub(crate) fn process(&self) -> Uuid {
        self.identity.process
    }

    pub(crate) fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    pub(crate) fn announcer(&self) -> &Announcer {
        &self.announcer
    }

    pub(crate) fn running(&self) -> &RunningSteps {
        &self.running
    }

    pub(crate) fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.dispatcher
    }

    pub(crate) fn results(&self) -> &AtomicU64 {
        &self.results
    }

    pub(crate) fn claims(&self) -> &watch::Sender<ClaimMode> {
        &self.claims
    }

    /// From here on, chance is what this seed makes of it.
    #[cfg(test)]
    pub(crate) fn seeded(self, seed: u64) -> Self {
        Self {
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            ..self
        }
    }

    /// A number from 0 up to and without 1.
    pub(crate) fn random(&self) -> f64 {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.f64()
    }

    /// A claim of so many steps, as the claim mode allows; `None` if nothing is to be claimed.
    pub(crate) fn claim_request(&self, limit: usize) -> Option<ClaimRequest> {
        let scope = self.claim_mode().scope()?;
        let callables = self.handlers.names();
        (limit > 0 && !callables.is_empty()).then(|| ClaimRequest {
            process: self.process(),
            scope,
            callables,
            serves: self.config.serves.clone(),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            lease: self.config.lease,
        })
    }

    /// Starts claimed steps. What cannot be started any more, because the worker has closed meanwhile, is given
    /// back.
    pub(crate) async fn start_steps(&self, steps: Vec<ClaimedStep>, places: Vec<Place>) {
        let left = self.dispatcher.start(steps, places);
        if left.is_empty() {
            return;
        }
        let leases = left.iter().map(ClaimedStep::lease).collect();
        if let Err(error) = self.store.release(self.process(), leases).await {
            tracing::warn!(%error, "leases could not be given back; they run out by themselves");
        }
    }

    /// What the others are to know of this process while it claims in this way.
    pub(crate) fn registration(&self, mode: ClaimMode) -> ProcessRegistration {
        ProcessRegistration {
            process: self.identity.process,
            host: self.identity.host.clone(),
            pid: self.identity.pid,
            pid_birth: self.identity.pid_birth.clone(),
            callables: match mode {
                ClaimMode::Paused => Vec::new(),
                ClaimMode::Any | ClaimMode::Only(_) => self.handlers.names(),
            },
            serves: self.config.serves.clone(),
            only_task: match mode {
                ClaimMode::Only(task_uuid) => Some(task_uuid),
                ClaimMode::Any | ClaimMode::Paused => None,
            },
        }
    }
}

impl fmt::Debug for SystemContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemContext")
            .field("identity", &self.identity)
            .field("config", &self.config)
            .field("claims", &self.claim_mode())
            .finish_non_exhaustive()
    }
}
