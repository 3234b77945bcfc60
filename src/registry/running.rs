//! A registry whose actors run.

use super::builder::{ActorRegistryBuilder, Launch};
use super::routes::Routes;
use super::shutdown::end_all;
use super::{ActorReport, ShutdownReport, StartError, Unrouted};
use crate::actor::{Ask, Exit, Level, MailboxStats, Managed, Message, Recipient, SendError, Tell};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// One actor of a registry, which holds it.
pub(super) struct Member {
    pub(super) actor: Arc<dyn Managed>,
    pub(super) critical: bool,
    /// How long it may drain, if not as long as all others.
    pub(super) drain: Option<Duration>,
    /// How long its `stopped` may take.
    pub(super) stop: Duration,
}

/// How long a shutdown may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) drain: Duration,
    pub(super) total: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(10),
            total: Duration::from_secs(30),
        }
    }
}

/// Actors that run, and the routes to them.
///
/// Dropping it without [`shutdown`](Self::shutdown) stops its actors, without waiting for them, and
/// warns.
pub struct ActorRegistry {
    inner: Arc<Inner>,
}

struct Inner {
    members: Vec<Member>,
    routes: Routes,
    settings: Settings,
    runtime: tokio::runtime::Handle,
    begun: AtomicBool,
    report: OnceLock<Arc<ShutdownReport>>,
    done: Notify,
}

/// Starts the members one after another; `launches` has one entry per member.
pub(super) async fn start(
    members: Vec<Member>,
    launches: Vec<Launch>,
    routes: Routes,
    settings: Settings,
    runtime: tokio::runtime::Handle,
) -> Result<ActorRegistry, StartError> {
    // From here on the registry's drop stops what has started, should this future be dropped.
    let inner = Inner {
        members,
        routes,
        settings,
        runtime,
        begun: AtomicBool::new(false),
        report: OnceLock::new(),
        done: Notify::new(),
    };
    let registry = ActorRegistry {
        inner: Arc::new(inner),
    };
    let inner = &registry.inner;
    let mut launches = launches.into_iter();
    for (at, member) in inner.members.iter().enumerate() {
        let Some(launch) = launches.next() else { break };
        launch(&inner.runtime);
        if let Err(cause) = member.actor.life().started().await {
            inner.routes.close();
            // Those that will never start give back what waits for them, so that nobody waits for it.
            drop(launches);
            let rolled_back = end_all(&inner.members[..at], &inner.settings, Level::Stop).await;
            // Only now: dropped before, the registry stops those whose turn has not come.
            inner.begun.store(true, Ordering::Release);
            return Err(StartError::Actor {
                actor: Arc::clone(member.actor.name()),
                cause,
                rolled_back,
            });
        }
    }
    for member in inner.members.iter().filter(|member| member.critical) {
        inner
            .runtime
            .spawn(watch(Arc::clone(&member.actor), Arc::downgrade(inner)));
    }
    Ok(registry)
}

/// Shuts the registry down when a critical actor has failed for good.
async fn watch(actor: Arc<dyn Managed>, registry: std::sync::Weak<Inner>) {
    let exit = actor.life().ended().await;
    if let (true, Some(inner)) = (exit.reason.is_failure(), registry.upgrade()) {
        tracing::error!(actor = &*exit.actor, reason = %exit.reason, "a critical actor failed: shutting down");
        inner.begin(Some(exit));
    }
}

impl ActorRegistry {
    /// Begins to describe a registry.
    pub fn builder() -> ActorRegistryBuilder {
        ActorRegistryBuilder::new()
    }

    /// The routes to its actors, to be kept and passed on.
    #[must_use]
    pub fn routes(&self) -> Routes {
        self.inner.routes.clone()
    }

    /// See [`Handle::tell`](crate::actor::Handle::tell).
    pub fn tell<M: Message>(&self, message: M) -> Tell<'_, M> {
        self.inner.routes.tell(message)
    }

    /// See [`Handle::try_tell`](crate::actor::Handle::try_tell).
    ///
    /// # Errors
    /// [`SendError`] with the message, if it was not accepted.
    pub fn try_tell<M: Message>(&self, message: M) -> Result<(), SendError<M>> {
        self.inner.routes.try_tell(message)
    }

    /// See [`Handle::ask`](crate::actor::Handle::ask).
    pub fn ask<M: Message>(&self, message: M) -> Ask<'_, M> {
        self.inner.routes.ask(message)
    }

    /// See [`Handle::try_ask`](crate::actor::Handle::try_ask).
    pub fn try_ask<M: Message>(&self, message: M) -> Ask<'_, M> {
        self.inner.routes.try_ask(message)
    }

    /// See [`Routes::recipient`].
    ///
    /// # Errors
    /// [`Unrouted`] if no actor declared the message.
    pub fn recipient<M: Message>(&self) -> Result<Recipient<M>, Unrouted> {
        self.inner.routes.recipient()
    }

    /// The mailboxes at this instant, in the order of start.
    #[must_use]
    pub fn stats(&self) -> Vec<(Arc<str>, MailboxStats)> {
        self.inner
            .members
            .iter()
            .map(|member| (Arc::clone(member.actor.name()), member.actor.stats()))
            .collect()
    }

    /// Drains the actors in reverse order of their start and reports where every message went.
    ///
    /// The routes close at once. Then each mailbox in its turn is closed and drained, under its own
    /// deadline and that of the whole; an actor that is not done by then is stopped, and at last
    /// killed. The work is done by a task of its own, and every caller gets the same report.
    ///
    /// A handler that awaits the shutdown of its own registry waits for itself, and is killed when its
    /// deadline has passed: have a task do it.
    ///
    /// # Cancel safety
    /// Once polled, the shutdown goes on whether or not anyone waits for it.
    pub async fn shutdown(&self) -> Arc<ShutdownReport> {
        self.inner.begin(None);
        self.inner.wait().await
    }

    /// Waits until the registry has been shut down, by whomever: also a critical actor's failure does
    /// it.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping it.
    pub async fn closed(&self) -> Arc<ShutdownReport> {
        self.inner.wait().await
    }
}

impl Inner {
    fn begin(self: &Arc<Self>, cause: Option<Arc<Exit>>) {
        if self.begun.swap(true, Ordering::AcqRel) {
            return;
        }
        self.routes.close();
        let publish = Publish {
            inner: Arc::clone(self),
            begun: Instant::now(),
            cause,
            actors: None,
        };
        self.runtime.spawn(publish.run());
    }

    async fn wait(&self) -> Arc<ShutdownReport> {
        loop {
            let mut done = std::pin::pin!(self.done.notified());
            // Listening starts before looking, so that no report falls between.
            done.as_mut().enable();
            if let Some(report) = self.report.get() {
                return Arc::clone(report);
            }
            done.await;
        }
    }
}

/// The shutdown's task. It publishes a report even if its runtime drops it.
struct Publish {
    inner: Arc<Inner>,
    begun: Instant,
    cause: Option<Arc<Exit>>,
    actors: Option<Vec<ActorReport>>,
}

impl Publish {
    async fn run(mut self) {
        let actors = end_all(&self.inner.members, &self.inner.settings, Level::Drain).await;
        self.actors = Some(actors);
    }

    /// What can be said when there is no runtime left to wait on.
    fn without_runtime(&self) -> Vec<ActorReport> {
        let members = self.inner.members.iter().rev();
        members
            .map(|member| {
                member.actor.raise(Level::Kill);
                let ended = member.actor.life().exit().cloned();
                let exit = ended.unwrap_or_else(|| Arc::new(member.actor.give_up()));
                ActorReport {
                    exit,
                    level: Level::Kill,
                    took: Duration::ZERO,
                }
            })
            .collect()
    }
}

impl Drop for Publish {
    fn drop(&mut self) {
        let actors = self.actors.take().unwrap_or_else(|| self.without_runtime());
        let report = ShutdownReport {
            actors,
            elapsed: self.begun.elapsed(),
            cause: self.cause.take(),
        };
        let _ = self.inner.report.set(Arc::new(report));
        self.inner.done.notify_waiters();
    }
}

impl Drop for ActorRegistry {
    fn drop(&mut self) {
        if self.inner.begun.swap(true, Ordering::AcqRel) {
            return;
        }
        self.inner.routes.close();
        let mut alive = 0_usize;
        for member in self.inner.members.iter().rev() {
            if member.actor.life().exit().is_none() {
                alive += 1;
                member.actor.raise(Level::Stop);
            }
        }
        if alive > 0 {
            tracing::warn!(
                alive,
                "a registry was dropped without a shutdown; its actors are stopped"
            );
        }
    }
}

impl fmt::Debug for ActorRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self
            .inner
            .members
            .iter()
            .map(|member| member.actor.name())
            .collect();
        f.debug_struct("ActorRegistry")
            .field("actors", &names)
            .finish_non_exhaustive()
    }
}
