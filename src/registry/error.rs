//! What can be wrong with a registry.

use super::ActorReport;
use crate::actor::ActorName;
use crate::actor::Exit;
use std::sync::Arc;

/// A registry that cannot be built as described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two actors have one name.
    #[error("two actors are named `{name}`: name one of them differently with `.name(..)`")]
    DuplicateName {
        /// The name.
        name: ActorName,
    },
    /// Two actors are routed the same message.
    #[error("`{message}` is routed to `{first}` and to `{second}`: declare it for one of them")]
    DuplicateRoute {
        /// The message's type.
        message: &'static str,
        /// The actor that declared it first.
        first: ActorName,
        /// The actor that declared it again.
        second: ActorName,
    },
    /// A mailbox without a slot could never accept a message.
    #[error("actor `{actor}` has capacity 0: give it at least 1")]
    ZeroCapacity {
        /// The actor's name.
        actor: ActorName,
    },
    /// The declared sends go in a circle, so that no order of shutdown lets everyone finish.
    #[error("the declared sends go in a circle: {}", join(path))]
    Cycle {
        /// The circle; its first actor is its last.
        path: Vec<ActorName>,
    },
    /// An actor is registered before one it sends to.
    #[error(
        "`{actor}` sends to `{dependency}`, which starts after it: register `{dependency}` first"
    )]
    StartsTooEarly {
        /// The actor that sends.
        actor: ActorName,
        /// The actor it sends to.
        dependency: ActorName,
    },
    /// A declared send goes to an actor that this registry does not have.
    #[error("`{actor}` declares that it sends to `{dependency}`, which is not in this registry")]
    Stranger {
        /// The actor that sends.
        actor: ActorName,
        /// The name of the actor it sends to.
        dependency: ActorName,
    },
    /// A reserved place was never filled.
    #[error("the place of `{actor}` was reserved and never filled: call `fill` for it")]
    Unfilled {
        /// The reserved name.
        actor: ActorName,
    },
}

/// A registry that did not start. Whatever had started has been stopped again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot be built as described; nothing was started.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// There is no runtime to run it on; nothing was started.
    #[error("the registry was started outside a tokio runtime: await this inside one")]
    NoRuntime,
    /// An actor did not start.
    #[error("actor `{actor}` did not start, and the registry was rolled back")]
    Actor {
        /// The actor's name.
        actor: ActorName,
        /// How it ended.
        #[source]
        cause: Arc<Exit>,
        /// The actors that had started before it, in the order in which they ended.
        rolled_back: Vec<ActorReport>,
    },
}

/// An actor that was not added to a running registry. Nothing of it is left.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// It cannot be added as described.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// It did not start.
    #[error("actor `{actor}` did not start and was not added")]
    Actor {
        /// The actor's name.
        actor: ActorName,
        /// How it ended.
        #[source]
        cause: Arc<Exit>,
    },
    /// The registry is shutting down, or has been shut down.
    #[error("actor `{actor}` was not added: its registry has begun to shut down")]
    ShutDown {
        /// The actor's name.
        actor: ActorName,
    },
}

/// An actor that could not be removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The registry has no actor of this name.
    #[error("the registry has no actor named `{actor}`")]
    Unknown {
        /// The name.
        actor: ActorName,
    },
    /// The registry is shutting down, or has been shut down: its report tells of the actor.
    #[error("actor `{actor}` cannot be removed: its registry has begun to shut down")]
    ShutDown {
        /// The actor's name.
        actor: ActorName,
    },
}

/// No actor of the registry handles this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no actor of the registry handles `{message}`: declare it with `.handles::<{message}>()`")]
#[non_exhaustive]
pub struct Unrouted {
    /// The message's type.
    pub message: &'static str,
}

fn join(path: &[ActorName]) -> String {
    let names: Vec<_> = path.iter().map(|name| format!("`{name}`")).collect();
    names.join(" -> ")
}
