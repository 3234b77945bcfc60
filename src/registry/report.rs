//! What a shutdown found.

use crate::actor::{Exit, Level};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How one actor of a registry ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ActorReport {
    /// Its final report.
    pub exit: Arc<Exit>,
    /// How far it had to be pushed: `Drain` if it ended by itself or in time.
    pub level: Level,
    /// How long its end took once its turn had come.
    pub took: Duration,
}

impl ActorReport {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.exit.actor
    }
}

/// How a registry ended: every accepted message of every actor is accounted for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The actors in the order in which they ended.
    pub actors: Vec<ActorReport>,
    /// How long the shutdown took.
    pub elapsed: Duration,
    /// The critical actor whose failure caused the shutdown, if it was not asked for.
    pub cause: Option<Arc<Exit>>,
}

impl ShutdownReport {
    /// Whether the conservation equation holds for every actor, with nothing left queued or running.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.actors.iter().all(|actor| actor.exit.is_balanced())
    }

    /// The report of the actor with this name.
    #[must_use]
    pub fn actor(&self, name: &str) -> Option<&ActorReport> {
        self.actors.iter().find(|actor| actor.name() == name)
    }
}

impl fmt::Display for ShutdownReport {
    /// A table with a line per actor.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .actors
            .iter()
            .map(|actor| actor.name().len())
            .max()
            .unwrap_or(0)
            .max("actor".len());
        writeln!(
            f,
            "{:width$}  {:>9}  {:>9}  {:>9}  {:>11}  {:>9}  ended",
            "actor", "accepted", "ok", "failed", "undelivered", "other"
        )?;
        for actor in &self.actors {
            let account = actor.exit.account;
            let other = account
                .accepted
                .saturating_sub(account.ok + account.failed + account.undelivered);
            writeln!(
                f,
                "{:width$}  {:>9}  {:>9}  {:>9}  {:>11}  {:>9}  {}",
                actor.name(),
                account.accepted,
                account.ok,
                account.failed,
                account.undelivered,
                other,
                Ended(actor)
            )?;
        }
        let balance = if self.is_balanced() {
            "every message is accounted for"
        } else {
            "NOT BALANCED"
        };
        write!(
            f,
            "{} actors in {:?}: {balance}",
            self.actors.len(),
            self.elapsed
        )?;
        if let Some(cause) = &self.cause {
            write!(f, "; caused by {cause}")?;
        }
        Ok(())
    }
}

struct Ended<'a>(&'a ActorReport);

impl fmt::Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exit = &self.0.exit;
        write!(f, "{}", exit.reason)?;
        if exit.abandoned_handler {
            f.write_str(" (its handler never yielded and was left behind)")?;
        }
        for problem in &exit.problems {
            write!(f, "; {problem}")?;
        }
        Ok(())
    }
}
