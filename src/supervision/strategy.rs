//! Who is restarted together with an actor that has failed.

use std::ops::Range;

/// Which siblings in a group are restarted with an actor that is restarted.
///
/// The siblings finish the handler that is running, within their stop deadline, and are stopped in reverse order
/// of start; then all are started again in the order of start, each when the one before it is ready. Mailboxes,
/// what waits in them, and handles survive, as in every restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// None: each stands for itself.
    OneForOne,
    /// All of them.
    OneForAll,
    /// Those that start after it, which may depend on it.
    RestForOne,
}

impl Strategy {
    /// The members, itself included, that share the fate of member `failed` in a group of `len`.
    pub(super) fn scope(self, failed: usize, len: usize) -> Range<usize> {
        match self {
            Self::OneForOne => failed..failed + 1,
            Self::OneForAll => 0..len,
            Self::RestForOne => failed..len,
        }
    }
}
