//! How far an actor has been told to stop.

use std::fmt;

/// What an actor has been asked to do about its end. Levels only rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Accepts and handles messages.
    Open,
    /// Accepts nothing more, and handles everything it has accepted.
    Drain,
    /// Finishes the handler that is running, and gives the rest back.
    Stop,
    /// Drops the running handler at its next await, and gives the rest back.
    Kill,
}

impl Level {
    pub(super) const fn as_u8(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Drain => 1,
            Self::Stop => 2,
            Self::Kill => 3,
        }
    }

    pub(super) const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Open,
            1 => Self::Drain,
            2 => Self::Stop,
            _ => Self::Kill,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Drain => "draining",
            Self::Stop => "stopping",
            Self::Kill => "killed",
        })
    }
}
