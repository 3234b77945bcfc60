//! Adding actors to a registry that runs, and removing them.

use super::member::Member;
use super::registration::Registration;
use super::roster::{Place, Removal};
use super::running::{ActorRegistry, Inner};
use super::shutdown::end_alone;
use super::{ActorReport, AddError, BuildError, RemoveError};
use crate::actor::{Actor, Handle, Level, Mould};
use crate::supervision::RestartPolicy;
use std::sync::Arc;
use tokio::sync::watch;

impl ActorRegistry {
    /// Describes an actor, given as a value, to be added to the running registry. It is temporary: a
    /// panic ends it.
    pub fn add<A: Actor>(&self, actor: A) -> Registration<&Self, A> {
        Registration::new(self, Mould::value(actor), None)
    }

    /// Describes an actor, given as a factory, to be added to the running registry. The factory is
    /// called now for the first incarnation.
    pub fn supervise<A: Actor>(
        &self,
        factory: impl FnMut() -> A + Send + 'static,
        policy: RestartPolicy,
    ) -> Registration<&Self, A> {
        Registration::new(self, Mould::factory(factory, policy), None)
    }

    /// Removes an actor: takes its routes away, drains it under its drain deadline, stops and at last
    /// kills it if that is not enough, and returns its report. Nothing of it stays behind, and its name
    /// is free again. An actor that has ended by itself stays in the registry until it is removed.
    ///
    /// Whoever removes an actor that is being removed already gets the same report.
    ///
    /// # Errors
    /// [`RemoveError::Unknown`]; [`RemoveError::ShutDown`] if the registry is shutting down, whose
    /// report will tell of the actor.
    ///
    /// # Cancel safety
    /// Once polled, the removal goes on whether or not anyone waits for it.
    pub async fn remove(&self, name: &str) -> Result<ActorReport, RemoveError> {
        let removal = self.inner.roster().begin_removal(name);
        let mut departing = match removal {
            Removal::Unknown => return Err(RemoveError::Unknown { actor: name.into() }),
            Removal::Closed => return Err(RemoveError::ShutDown { actor: name.into() }),
            Removal::Begun(departing) => departing,
            Removal::Begin {
                place,
                member,
                tell,
            } => {
                self.inner.routes.withdraw(&member.routes);
                let departing = tell.subscribe();
                let departure = Departure {
                    inner: Arc::clone(&self.inner),
                    member,
                    place,
                    report: None,
                    tell,
                };
                self.inner.runtime.spawn(departure.run());
                departing
            }
        };
        let report = departing.wait_for(Option::is_some).await;
        let report = report.ok().and_then(|report| report.clone());
        // It tells before it is dropped, whatever happens.
        report.ok_or_else(|| RemoveError::ShutDown { actor: name.into() })
    }
}

/// The removal's task. It finishes even if its runtime drops it.
struct Departure {
    inner: Arc<Inner>,
    member: Arc<Member>,
    place: Place,
    report: Option<ActorReport>,
    tell: watch::Sender<Option<ActorReport>>,
}

impl Departure {
    async fn run(mut self) {
        self.report = Some(end_alone(&self.member, &self.inner.settings).await);
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        let report = self.report.take();
        let report = report.unwrap_or_else(|| self.member.end_without_runtime());
        self.inner.roster().leave(self.place);
        self.tell.send_replace(Some(report));
    }
}

impl<A: Actor> Registration<&ActorRegistry, A> {
    /// Adds the actor and starts it. It comes last in the order of start, so it is the first to be
    /// drained at shutdown. Routes lead to it at once; what they bring waits until it has started.
    ///
    /// # Errors
    /// [`AddError::Build`] for what cannot be added, [`AddError::Actor`] if it does not start,
    /// [`AddError::ShutDown`]. Nothing of the actor stays behind.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it stops the actor, which leaves the registry when it has ended.
    pub async fn start(self) -> Result<Handle<A>, AddError> {
        let inner = &self.place.inner;
        // The description is dropped, and what the user put into it, when no lock is held.
        let description = self.description;
        let actor = description.name();
        let (handle, newcomer, launch) = {
            let mut roster = inner.roster();
            if roster.is_closed() {
                return Err(AddError::ShutDown { actor });
            }
            for (id, dependency) in description.dependencies() {
                if !roster.has(*id, dependency) {
                    let dependency = dependency.clone();
                    return Err(BuildError::Stranger { actor, dependency }.into());
                }
            }
            let mut table = inner.routes.change();
            description.check(&actor, |name| roster.has_name(name), &table)?;
            let admitted = description.admit(&actor, &mut table);
            drop(table);
            let member = Arc::new(admitted.member);
            let newcomer = Newcomer {
                inner: Arc::clone(inner),
                place: roster.enter(Arc::clone(&member)),
                member,
                ready: false,
            };
            (admitted.handle, newcomer, admitted.launch)
        };
        launch(&inner.runtime);
        match newcomer.member.actor.life().started().await {
            Ok(()) => {
                newcomer.settle();
                Ok(handle)
            }
            Err(cause) => {
                drop(newcomer);
                if inner.roster().is_closed() {
                    return Err(AddError::ShutDown { actor });
                }
                Err(AddError::Actor { actor, cause })
            }
        }
    }
}

/// An actor that is not ready yet. Dropped, it leaves the registry.
struct Newcomer {
    inner: Arc<Inner>,
    place: Place,
    member: Arc<Member>,
    ready: bool,
}

impl Newcomer {
    fn settle(mut self) {
        self.ready = true;
        self.inner.watch(&self.member);
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        if self.ready {
            return;
        }
        self.inner.routes.withdraw(&self.member.routes);
        if !self.member.is_alive() {
            self.inner.roster().leave(self.place);
            return;
        }
        self.member.actor.raise(Level::Stop);
        let (inner, member, place) = (
            Arc::clone(&self.inner),
            Arc::clone(&self.member),
            self.place,
        );
        // Until it has ended a shutdown waits for it and its name is taken.
        self.inner.runtime.spawn(async move {
            member.actor.life().ended().await;
            inner.roster().leave(place);
        });
    }
}
