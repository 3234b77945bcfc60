//! Whether everything works, in one look that waits for nobody.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::actor::{Actor, ActorName, Handle, MailboxStats};
use crate::orchestration::context::{ClaimMode, SystemContext};
use crate::orchestration::store::{BreakerState, BreakerStatus, Census};

/// Whether the orchestration works, as one process sees it.
#[derive(Debug, Clone)]
pub struct SystemHealth {
    /// The store answers; if not, why.
    pub database: Result<(), String>,
    /// The circuit breaker around the store.
    pub breaker: BreakerStatus,
    /// What waits and what runs in the whole database; `None` if it does not answer.
    pub census: Option<Census>,
    /// How long ago the store last heard of this process, and its leases were renewed.
    pub last_heartbeat: Duration,
    /// Steps that run in this process.
    pub running_steps: usize,
    /// Steps that may run at once in this process.
    pub concurrency: usize,
    /// Which steps this process claims.
    pub claims: ClaimMode,
    /// The mailboxes of the lifecycle actors.
    pub mailboxes: Vec<MailboxHealth>,
}

/// How full a mailbox is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxHealth {
    /// Whose.
    pub actor: ActorName,
    /// Messages that wait in it.
    pub depth: usize,
    /// As many may.
    pub capacity: usize,
}

impl SystemHealth {
    /// Whether the store answers, the breaker is closed, and no mailbox is full.
    pub fn is_healthy(&self) -> bool {
        self.database.is_ok()
            && self.breaker.state == BreakerState::Closed
            && !self.mailboxes.iter().any(|one| one.depth >= one.capacity)
    }

    /// How long ago the oldest task with a step that waits to be claimed was submitted.
    pub fn oldest_ready(&self) -> Option<Duration> {
        self.census.as_ref()?.oldest_ready
    }
}

/// A mailbox that is looked at: whose, and how.
type Watched = (ActorName, Arc<dyn Fn() -> MailboxStats + Send + Sync>);

/// The logic of the health actor.
#[derive(Clone)]
pub(crate) struct HealthReporter {
    context: Arc<SystemContext>,
    watched: Vec<Watched>,
}

impl HealthReporter {
    /// A store that does not answer for this long does not work, whatever it waits for.
    const PATIENCE: Duration = Duration::from_secs(2);

    pub(crate) fn new(context: Arc<SystemContext>) -> Self {
        let watched = Vec::new();
        Self { context, watched }
    }

    pub(crate) fn watch<A: Actor>(&mut self, handle: &Handle<A>) {
        let (name, handle) = (handle.name().clone(), handle.clone());
        self.watched.push((name, Arc::new(move || handle.stats())));
    }

    pub(crate) async fn report(&self) -> SystemHealth {
        let context = &self.context;
        let counted = match timeout(Self::PATIENCE, context.store().census()).await {
            Ok(counted) => counted.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {:?}", Self::PATIENCE)),
        };
        let (database, census) = match counted {
            Ok(census) => (Ok(()), Some(census)),
            Err(problem) => (Err(problem), None),
        };
        let mailboxes = self.watched.iter().map(|(actor, look)| {
            let stats = look();
            MailboxHealth {
                actor: actor.clone(),
                depth: stats.depth,
                capacity: stats.capacity,
            }
        });
        SystemHealth {
            database,
            breaker: context.breaker(),
            census,
            last_heartbeat: context.last_heartbeat(),
            running_steps: context.running().len(),
            concurrency: context.config().concurrency,
            claims: context.claim_mode(),
            mailboxes: mailboxes.collect(),
        }
    }
}

impl fmt::Debug for HealthReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.watched.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("HealthReporter")
            .field("watched", &names)
            .finish_non_exhaustive()
    }
}
