//! The writers of this process, and which of them an intent goes to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::connect::Place;
use super::notify::Notifier;
use super::writer::PostgresWriter;
use crate::actor::{AskFailure, Builder, Exit, Handle, SpawnError};
use crate::orchestration::store::StoreError;
use crate::orchestration::store::sql::intent::{Answer, Write};
use crate::supervision::RestartPolicy;

/// Actors that write beside each other: while the server carries out the transaction of one, another gathers, or has
/// its own carried out by another core of the server. They are to each other what other processes are.
pub(super) struct Writers(Vec<Writer>);

struct Writer {
    handle: Handle<PostgresWriter>,
    /// Callers whose answer is to come.
    callers: AtomicUsize,
}

impl Writers {
    pub(super) fn start(
        place: &Arc<Place>,
        commits: &Arc<AtomicU64>,
        notifier: &Notifier,
    ) -> Result<Self, SpawnError> {
        let writers = (0..place.options.writers_in_use()).map(|_| {
            let (place, commits) = (Arc::clone(place), Arc::clone(commits));
            let (capacity, notifier) = (place.options.writer_capacity, notifier.clone());
            let factory = move || {
                PostgresWriter::new(Arc::clone(&place), Arc::clone(&commits), notifier.clone())
            };
            let handle = Builder::supervised(factory, RestartPolicy::permanent())
                .name("PostgresWriter")
                .capacity(capacity)
                .spawn()?;
            Ok(Writer {
                handle,
                callers: AtomicUsize::new(0),
            })
        });
        writers.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Has the intent carried out by the writer that has the fewest callers; the first of these, so that one alone
    /// finds the same connection each time. A process that leaves does so with each of them: what it has asked of one
    /// may still be under way, and the leases of that are given back too.
    pub(super) async fn ask(&self, write: Write) -> Result<Answer, StoreError> {
        if let Write::Unregister(process) = write {
            for writer in &self.0 {
                writer.ask(Write::Unregister(process)).await?;
            }
            return Ok(Answer::Done);
        }
        let fewest = |writer: &&Writer| writer.callers.load(Ordering::Relaxed);
        let writer = self.0.iter().min_by_key(fewest).ok_or(StoreError::Closed)?;
        writer.ask(write).await
    }

    /// Has all of them finish what they were asked, and stop.
    pub(super) async fn close(&self) -> Vec<Arc<Exit>> {
        for writer in &self.0 {
            writer.handle.drain();
        }
        let mut exits = Vec::with_capacity(self.0.len());
        for writer in &self.0 {
            exits.push(writer.handle.closed().await);
        }
        exits
    }
}

impl Writer {
    async fn ask(&self, write: Write) -> Result<Answer, StoreError> {
        let intent = write.name();
        let _caller = Caller::of(&self.callers);
        let answer = self.handle.ask(write).await;
        answer.map_err(|error| match error.without_message() {
            AskFailure::Handler(error) => error,
            AskFailure::Closed | AskFailure::Stopped => StoreError::Closed,
            other => StoreError::Failed {
                intent,
                source: Box::new(other),
            },
        })
    }
}

/// One caller, for as long as it waits.
struct Caller<'a>(&'a AtomicUsize);

impl<'a> Caller<'a> {
    fn of(callers: &'a AtomicUsize) -> Self {
        callers.fetch_add(1, Ordering::Relaxed);
        Self(callers)
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
