//! One actor of a registry.

use super::ActorReport;
use crate::actor::{Held, Level, Managed};
use std::any::TypeId;
use std::time::Duration;

/// One actor of a registry, which holds it.
pub(super) struct Member {
    pub(super) actor: Held<dyn Managed>,
    pub(super) critical: bool,
    /// How long it may drain, if not as long as all others.
    pub(super) drain: Option<Duration>,
    /// How long its `stopped` may take.
    pub(super) stop: Duration,
    /// The messages that are routed to it.
    pub(super) routes: Box<[TypeId]>,
}

impl Member {
    pub(super) fn is_alive(&self) -> bool {
        self.actor.life().exit().is_none()
    }

    /// Its report when there is no runtime left to wait on.
    pub(super) fn end_without_runtime(&self) -> ActorReport {
        self.actor.raise(Level::Kill);
        ActorReport {
            exit: self.actor.give_up(),
            level: Level::Kill,
            took: Duration::ZERO,
        }
    }
}
