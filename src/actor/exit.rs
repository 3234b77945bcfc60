//! How an actor ended.

use super::{Account, ActorId, ActorName};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why an actor, or one incarnation of it, ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StopReason {
    /// Someone asked it to stop.
    Stopped,
    /// Someone asked it to drain, and it has handled everything it accepted.
    Drained,
    /// Someone killed it.
    Killed,
    /// Its last handle was dropped, and it has handled everything it accepted.
    HandlesDropped,
    /// It could not start.
    StartFailed(HookProblem),
    /// A handler panicked, and the actor does not come back: it has no policy for that, or was told to stop or killed
    /// meanwhile, or it was the last message of a drain. In a group that counts as a failure for good.
    Panicked {
        /// The type of the message that was being handled.
        message: &'static str,
        /// What the panic said.
        text: Arc<str>,
    },
    /// It failed more often than its restart policy allows.
    IntensityExceeded {
        /// How many restarts its policy allows.
        limit: u32,
        /// In which window.
        window: Duration,
        /// The failure that was one too many.
        last: Box<StopReason>,
    },
    /// It was restarted together with another one of its group, which failed.
    GroupRestart {
        /// The name of the one that failed.
        failed: ActorName,
    },
    /// Its runtime was shut down under it.
    RuntimeGone,
    /// It was registered, and its registry never started.
    NeverStarted,
}

impl StopReason {
    /// Whether the actor ended because something went wrong in it.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::StartFailed(_) | Self::Panicked { .. } | Self::IntensityExceeded { .. }
        )
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Drained => f.write_str("drained"),
            Self::Killed => f.write_str("killed"),
            Self::HandlesDropped => f.write_str("drained after its last handle was dropped"),
            Self::StartFailed(problem) => write!(f, "could not start: {problem}"),
            Self::Panicked { message, text } => {
                write!(f, "panicked while it handled `{message}`: {text}")
            }
            Self::IntensityExceeded {
                limit,
                window,
                last,
            } => {
                write!(
                    f,
                    "failed more than {limit} times in {window:?}; at last it {last}"
                )
            }
            Self::GroupRestart { failed } => {
                write!(f, "restarted with its group, because `{failed}` failed")
            }
            Self::RuntimeGone => f.write_str("ended because its runtime was shut down"),
            Self::NeverStarted => f.write_str("was never started"),
        }
    }
}

/// Why an actor ended, as it is handed on until the report is written: in two registers.
#[derive(Debug)]
pub(super) enum Cause {
    Stopped,
    Drained,
    Killed,
    HandlesDropped,
    RuntimeGone,
    NeverStarted,
    Other(Box<StopReason>),
}

impl Cause {
    /// See [`StopReason::is_failure`].
    pub(super) const fn is_failure(&self) -> bool {
        match self {
            Self::Stopped
            | Self::Drained
            | Self::Killed
            | Self::HandlesDropped
            | Self::RuntimeGone
            | Self::NeverStarted => false,
            Self::Other(reason) => reason.is_failure(),
        }
    }
}

const _: () = assert!(size_of::<Option<Cause>>() == 2 * size_of::<usize>());

impl From<StopReason> for Cause {
    #[cold]
    fn from(reason: StopReason) -> Self {
        match reason {
            StopReason::Stopped => Self::Stopped,
            StopReason::Drained => Self::Drained,
            StopReason::Killed => Self::Killed,
            StopReason::HandlesDropped => Self::HandlesDropped,
            StopReason::RuntimeGone => Self::RuntimeGone,
            StopReason::NeverStarted => Self::NeverStarted,
            other => Self::Other(Box::new(other)),
        }
    }
}

impl From<Cause> for StopReason {
    #[inline]
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Stopped => Self::Stopped,
            Cause::Drained => Self::Drained,
            Cause::Killed => Self::Killed,
            Cause::HandlesDropped => Self::HandlesDropped,
            Cause::RuntimeGone => Self::RuntimeGone,
            Cause::NeverStarted => Self::NeverStarted,
            Cause::Other(reason) => *reason,
        }
    }
}

/// What an actor does besides handling messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hook {
    /// [`Actor::started`](super::Actor::started).
    Started,
    /// [`Actor::stopped`](super::Actor::stopped).
    Stopped,
    /// The factory that makes each incarnation.
    Factory,
    /// The pause before a restart, which needs a runtime with a clock.
    Backoff,
    /// Dropping the actor, a message or a handler.
    Drop,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "`started`",
            Self::Stopped => "`stopped`",
            Self::Factory => "the factory",
            Self::Backoff => "the pause before a restart",
            Self::Drop => "dropping its state",
        })
    }
}

/// What went wrong in a hook.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Trouble {
    /// It returned an error.
    Failed(Arc<dyn Error + Send + Sync>),
    /// It panicked, and said this.
    Panicked(Arc<str>),
    /// It was abandoned after this long.
    TimedOut(Duration),
}

/// A hook that went wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HookProblem {
    /// Which hook.
    pub hook: Hook,
    /// What went wrong.
    pub trouble: Trouble,
}

impl fmt::Display for HookProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hook = self.hook;
        match &self.trouble {
            Trouble::Failed(error) => write!(f, "{hook} failed: {error}"),
            Trouble::Panicked(text) => write!(f, "{hook} panicked: {text}"),
            Trouble::TimedOut(after) => write!(f, "{hook} was abandoned after {after:?}"),
        }
    }
}

impl Error for HookProblem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.trouble {
            Trouble::Failed(error) => error.source(),
            _ => None,
        }
    }
}

/// The final report of an actor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Exit {
    /// Its name.
    pub actor: ActorName,
    /// Its number.
    pub id: ActorId,
    /// Why it ended.
    pub reason: StopReason,
    /// Where every message is that it ever accepted.
    pub account: Account,
    /// The messages that were accepted and not handled, by type: tells were dropped, asks went back
    /// to their askers. The counts add up to [`Account::undelivered`].
    pub undelivered: Vec<(&'static str, u64)>,
    /// The messages, by type, whose handlers panicked, and how often.
    pub panics: Vec<(&'static str, u64)>,
    /// The messages, by type, that were to be handled again after a panic and were given up; they count as
    /// [panicked](Account::panicked).
    pub set_aside: Vec<(&'static str, u64)>,
    /// What went wrong in hooks, oldest first. After 16 the rest are only counted.
    pub problems: Vec<HookProblem>,
    /// Problems beyond those in the list.
    pub further_problems: u64,
    /// The actor did not end: its handler never yielded, and the report was written without it.
    pub abandoned_handler: bool,
    /// How often it was restarted.
    pub restarts: u64,
    /// Where it stands in the order in which the actors of this process ended.
    pub(crate) sequence: u64,
}

impl Exit {
    /// Whether every accepted message is accounted for, none is queued, and none is running unless its
    /// handler never yielded.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.account.is_balanced()
            && self.account.queued == 0
            && (self.account.running == 0 || self.abandoned_handler)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "actor `{}` {} ({})",
            self.actor, self.reason, self.account
        )?;
        for problem in &self.problems {
            write!(f, "; {problem}")?;
        }
        Ok(())
    }
}

impl Error for Exit {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            StopReason::StartFailed(problem) => Some(problem),
            _ => None,
        }
    }
}
