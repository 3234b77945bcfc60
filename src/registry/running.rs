//! A registry whose actors run.

use super::builder::ActorRegistryBuilder;
use super::closing::Report;
use super::member::Member;
use super::registration::Launch;
use super::roster::Roster;
use super::routes::Routes;
use super::shutdown::end_all;
use super::{ShutdownReport, StartError, Unrouted};
use crate::actor::{
    ActorId, ActorName, Ask, Level, MailboxStats, Message, Recipient, SendError, Tell, Told,
};
use crate::mailbox::lock;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

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
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    roster: Mutex<Roster>,
    pub(super) routes: Routes,
    pub(super) settings: Settings,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) report: Report,
}

impl Inner {
    /// Never held across an await, nor while user code runs.
    pub(super) fn roster(&self) -> MutexGuard<'_, Roster> {
        lock(&self.roster)
    }
}

impl ActorRegistry {
    /// Begins to describe a registry.
    pub fn builder() -> ActorRegistryBuilder {
        ActorRegistryBuilder::new()
    }

    pub(super) fn new(
        roster: Roster,
        routes: Routes,
        settings: Settings,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        let inner = Inner {
            roster: Mutex::new(roster),
            routes,
            settings,
            runtime,
            report: Report::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Starts the members one after another; `launches` has one entry per member. Should it be dropped,
    /// the registry's own drop stops what has started.
    pub(super) async fn start_all(&self, launches: Vec<Launch>) -> Result<(), StartError> {
        let inner = &self.inner;
        let members: Vec<_> = inner.roster().members().cloned().collect();
        let mut launches = launches.into_iter();
        for (at, member) in members.iter().enumerate() {
            let Some(launch) = launches.next() else { break };
            launch(&inner.runtime);
            if let Err(cause) = member.actor.life().started().await {
                inner.routes.close();
                // Those that will never start give back what waits for them, so that nobody waits for it.
                drop(launches);
                let rolled_back = end_all(&members[..at], &inner.settings, Level::Stop).await;
                // Only now: dropped before, the registry stops those whose turn has not come.
                inner.roster().close();
                return Err(StartError::Actor {
                    actor: member.actor.name().clone(),
                    cause,
                    rolled_back,
                });
            }
        }
        for member in &members {
            inner.watch(member);
        }
        Ok(())
    }

    /// The routes to its actors, to be kept and passed on.
    #[must_use]
    pub fn routes(&self) -> Routes {
        self.inner.routes.clone()
    }

    /// See [`Handle::tell`](crate::actor::Handle::tell).
    pub fn tell<M: Message>(&self, message: M) -> Tell<'static, M> {
        self.inner.routes.tell(message)
    }

    /// See [`Handle::try_tell`](crate::actor::Handle::try_tell).
    ///
    /// # Errors
    /// [`SendError`] with the message, if it was not accepted.
    pub fn try_tell<M: Message>(&self, message: M) -> Result<Told, SendError<M>> {
        self.inner.routes.try_tell(message)
    }

    /// See [`Handle::ask`](crate::actor::Handle::ask).
    pub fn ask<M: Message>(&self, message: M) -> Ask<'static, M> {
        self.inner.routes.ask(message)
    }

    /// See [`Handle::try_ask`](crate::actor::Handle::try_ask).
    pub fn try_ask<M: Message>(&self, message: M) -> Ask<'static, M> {
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
    pub fn stats(&self) -> Vec<(ActorName, MailboxStats)> {
        let members: Vec<_> = self.inner.roster().members().cloned().collect();
        let stats = |member: &Arc<Member>| (member.actor.name().clone(), member.actor.stats());
        members.iter().map(stats).collect()
    }

    pub(crate) fn observe(&self) -> Vec<(ActorName, ActorId, MailboxStats)> {
        let members: Vec<_> = self.inner.roster().members().cloned().collect();
        let observe = |member: &Arc<Member>| {
            let actor = &member.actor;
            (actor.name().clone(), actor.id(), actor.stats())
        };
        members.iter().map(observe).collect()
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
        self.inner.begin_shutdown(None);
        self.inner.report.wait().await
    }

    /// Waits until the registry has been shut down, by whomever: also a critical actor's failure does
    /// it.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping it.
    pub async fn closed(&self) -> Arc<ShutdownReport> {
        self.inner.report.wait().await
    }

    /// Shuts down when `signal` completes, unless something else has done so before, and returns the
    /// report. What the signal is does not matter; a service waits for the signals of its operating
    /// system:
    ///
    /// ```no_run
    /// use postroom::registry::ActorRegistry;
    /// use tokio::signal::unix::{SignalKind, signal};
    ///
    /// # async fn serve(registry: ActorRegistry) -> std::io::Result<()> {
    /// // Listening begins here, and errors are seen here, before anything depends on it.
    /// let mut terminate = signal(SignalKind::terminate())?;
    /// let mut interrupt = signal(SignalKind::interrupt())?;
    /// let asked = async move {
    ///     tokio::select! {
    ///         _ = terminate.recv() => {}
    ///         _ = interrupt.recv() => {}
    ///     }
    /// };
    /// println!("{}", registry.shutdown_on(asked).await);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Dropped before the signal has come, nothing happens when it comes. Once the shutdown has begun it
    /// goes on.
    pub async fn shutdown_on(&self, signal: impl Future) -> Arc<ShutdownReport> {
        tokio::select! {
            biased;
            report = self.closed() => report,
            _ = signal => self.shutdown().await,
        }
    }
}

impl Inner {
    /// Has the registry shut down when a critical actor has failed for good.
    pub(super) fn watch(self: &Arc<Self>, member: &Arc<Member>) {
        if member.critical {
            let watching = watch(Arc::clone(member), Arc::downgrade(self));
            self.runtime.spawn(watching);
        }
    }
}

async fn watch(member: Arc<Member>, registry: Weak<Inner>) {
    let exit = member.actor.life().ended().await;
    if let (true, Some(inner)) = (exit.reason.is_failure(), registry.upgrade()) {
        tracing::error!(actor = &*exit.actor, reason = %exit.reason, "a critical actor failed: shutting down");
        inner.begin_shutdown(Some(exit));
    }
}

impl Drop for ActorRegistry {
    fn drop(&mut self) {
        let Some(members) = self.inner.roster().close() else {
            return;
        };
        self.inner.routes.close();
        let mut alive = 0_usize;
        for member in members.iter().rev().filter(|member| member.is_alive()) {
            alive += 1;
            member.actor.raise(Level::Stop);
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
        let roster = self.inner.roster();
        let names: Vec<_> = roster.members().map(|member| member.actor.name()).collect();
        f.debug_struct("ActorRegistry")
            .field("actors", &names)
            .finish_non_exhaustive()
    }
}
