//! The cell that carries a message in and its answer out.
//!
//! Sender and actor share one cell per message. The sender may revoke the message while it is queued;
//! once the actor has claimed it, the sender can only stop listening. Who counts the message, and as
//! what, is decided here under the cell's lock, so that it is counted exactly once:
//!
//! - a token that answers or is dropped while its handler runs decides at once ([`Cell::decide`],
//!   [`Cell::token_dropped`]);
//! - what is undecided when the handler has ended is decided by the run loop ([`Cell::conclude`]).

use super::{lock, renew};
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

/// Why a queued message will be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// Its asker's timeout has passed.
    Expired,
    /// Its asker is gone.
    Abandoned,
}

/// What the run loop finds when it concludes a message after its handler has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conclusion {
    /// Already decided by its token.
    Decided,
    /// The token was dropped while the handler was being torn down.
    TokenLost,
    /// The token lives on elsewhere.
    TokenLives,
}

/// A message (`M`) and its answer (`R`).
#[derive(Debug)]
pub(crate) struct Cell<M, R> {
    inner: Mutex<Inner<M, R>>,
    asked: bool,
}

#[derive(Debug)]
struct Inner<M, R> {
    stage: Stage<M, R>,
    /// Whether anyone wants the answer.
    listening: bool,
    waker: Option<Waker>,
    tally: Tally,
}

/// Whether the message has been counted, and if not, what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tally {
    /// The token decides.
    Open,
    /// The handler is being dropped after a panic or a kill: a token dropped now did not choose to.
    TearingDown,
    /// The token was dropped by a panic or by tearing down: the run loop decides.
    TokenLost,
    Decided,
}

#[derive(Debug)]
enum Stage<M, R> {
    Queued(M),
    Revoked(Revocation),
    Claimed,
    Answered(R),
    Spent,
}

impl<M, R> Cell<M, R> {
    pub(crate) fn tell(message: M) -> Self {
        Self::new(message, false)
    }

    pub(crate) fn ask(message: M) -> Self {
        Self::new(message, true)
    }

    fn new(message: M, asked: bool) -> Self {
        let inner = Inner {
            stage: Stage::Queued(message),
            listening: asked,
            waker: None,
            tally: Tally::Open,
        };
        Self {
            inner: Mutex::new(inner),
            asked,
        }
    }

    /// Whether the sender asked for an answer.
    pub(crate) const fn was_asked(&self) -> bool {
        self.asked
    }

    /// Whether the sender asked, and has gone since.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.asked && !lock(&self.inner).listening
    }

    /// Takes back a message that no mailbox accepted.
    pub(crate) fn take_back(&self) -> Option<M> {
        lock(&self.inner).replace_if_queued(Stage::Spent).ok()
    }

    /// The actor takes the message to handle it.
    pub(crate) fn claim(&self) -> Result<M, Revocation> {
        lock(&self.inner).replace_if_queued(Stage::Claimed)
    }

    /// The asker's time is up: a queued message comes back and will be skipped. In any case the asker
    /// listens no more.
    pub(crate) fn expire(&self) -> Expiry<M, R> {
        let _replaced;
        let mut inner = lock(&self.inner);
        inner.listening = false;
        _replaced = inner.waker.take();
        match std::mem::replace(&mut inner.stage, Stage::Spent) {
            Stage::Queued(message) => {
                inner.stage = Stage::Revoked(Revocation::Expired);
                Expiry::Revoked(message)
            }
            Stage::Answered(answer) => Expiry::Answered(answer),
            other => {
                inner.stage = other;
                Expiry::Running
            }
        }
    }

    /// The asker is gone. Returns what it leaves behind, to be dropped outside the lock.
    pub(crate) fn abandon(&self, run_anyway: bool) -> (Option<M>, Option<R>) {
        let _replaced;
        let mut inner = lock(&self.inner);
        inner.listening = false;
        _replaced = inner.waker.take();
        match std::mem::replace(&mut inner.stage, Stage::Spent) {
            Stage::Queued(message) if !run_anyway => {
                inner.stage = Stage::Revoked(Revocation::Abandoned);
                (Some(message), None)
            }
            Stage::Answered(answer) => (None, Some(answer)),
            other => {
                inner.stage = other;
                (None, None)
            }
        }
    }

    /// The asker looks for its answer.
    pub(crate) fn poll_answer(&self, cx: &Context<'_>) -> Poll<R> {
        let _replaced;
        let mut inner = lock(&self.inner);
        match std::mem::replace(&mut inner.stage, Stage::Spent) {
            Stage::Answered(answer) => Poll::Ready(answer),
            other => {
                inner.stage = other;
                _replaced = renew(&mut inner.waker, cx);
                Poll::Pending
            }
        }
    }

    /// Gives the asker its answer, if it still listens.
    pub(crate) fn answer(&self, answer: R) {
        let mut inner = lock(&self.inner);
        if !inner.listening {
            drop(inner);
            drop(answer);
            return;
        }
        inner.stage = Stage::Answered(answer);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The token answers: true if this decides how the message counts.
    pub(crate) fn decide(&self) -> bool {
        std::mem::replace(&mut lock(&self.inner).tally, Tally::Decided) != Tally::Decided
    }

    /// The token is dropped without an answer. `None`: the run loop will decide, because the handler
    /// is being torn down. `Some(true)`: this decides how the message counts.
    pub(crate) fn token_dropped(&self) -> Option<bool> {
        let mut inner = lock(&self.inner);
        match inner.tally {
            Tally::Decided => Some(false),
            Tally::Open if !std::thread::panicking() => {
                inner.tally = Tally::Decided;
                Some(true)
            }
            _ => {
                inner.tally = Tally::TokenLost;
                None
            }
        }
    }

    /// The handler is about to be dropped after a panic or a kill.
    pub(crate) fn tear_down(&self) {
        let mut inner = lock(&self.inner);
        if inner.tally == Tally::Open {
            inner.tally = Tally::TearingDown;
        }
    }

    /// The handler has ended.
    pub(crate) fn conclude(&self) -> Conclusion {
        match std::mem::replace(&mut lock(&self.inner).tally, Tally::Decided) {
            Tally::Decided => Conclusion::Decided,
            Tally::TokenLost => Conclusion::TokenLost,
            Tally::Open | Tally::TearingDown => Conclusion::TokenLives,
        }
    }
}

/// What a timeout finds.
#[derive(Debug)]
pub(crate) enum Expiry<M, R> {
    /// The message was queued, and comes back.
    Revoked(M),
    /// The answer was there just in time.
    Answered(R),
    /// The handler has started.
    Running,
}

impl<M, R> Inner<M, R> {
    fn replace_if_queued(&mut self, next: Stage<M, R>) -> Result<M, Revocation> {
        match std::mem::replace(&mut self.stage, next) {
            Stage::Queued(message) => Ok(message),
            Stage::Revoked(revocation) => {
                self.stage = Stage::Revoked(revocation);
                Err(revocation)
            }
            // A cell is claimed once; a second claim finds nothing to do.
            other => {
                self.stage = other;
                Err(Revocation::Abandoned)
            }
        }
    }
}
