//! Being told that somebody else may have changed something, so that nobody has to ask all the time.

use std::future::pending;

use tokio::sync::watch;

/// Hints that others, or this process, may have changed something in the database. See
/// [`Store::hints`](super::Store::hints).
///
/// A hint may come for nothing, several may come as one, and one may be lost: whoever listens looks now and then
/// anyway.
#[derive(Debug, Clone)]
pub struct Hints(watch::Receiver<()>);

impl Hints {
    /// Resolves when something may have changed since it last did; at once, if that was in the meantime. Never, when
    /// nobody can tell any more.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no hint is lost by dropping the future.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            pending::<()>().await;
        }
    }
}

/// Each change of the value is a hint.
impl From<watch::Receiver<()>> for Hints {
    fn from(said: watch::Receiver<()>) -> Self {
        Self(said)
    }
}
