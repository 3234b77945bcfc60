//! Workflows in one `SQLite` file.
//!
//! ```text
//!   callers ── Write ──▶ mailbox ──▶ SqliteWriter ── BEGIN IMMEDIATE … COMMIT ──▶ file
//!      └────── reads ─────────────▶ up to 4 connections that can only read ────────┘
//! ```
//!
//! Everything that is written goes through one actor, which puts what is waiting into one transaction: the
//! more callers, the more of them share a commit. The file is in WAL mode with `synchronous=FULL`: what was
//! answered survives a crash of the machine. Several processes may use the same file; each waits its turn,
//! up to [`SqliteOptions::busy_timeout`].

mod audit;
mod batch;
mod block;
mod census;
mod claim;
mod cleanup;
mod complete;
mod completed;
mod connect;
mod fault;
mod fresh;
mod joining;
mod known;
mod lease;
mod location;
mod migrate;
mod opening;
mod operate;
mod options;
#[cfg(test)]
mod plans;
mod process;
mod read;
mod readied;
mod runnable;
mod set;
mod started;
mod step_row;
mod submit;
mod sweep;
mod task_row;
mod unit;
mod watch;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection, SqlitePool};
use tokio::time::timeout;
use uuid::Uuid;

use super::sql::intent::{Answer, Write};
use super::{
    Census, ClaimRequest, ClaimedStep, Claims, CleanupReport, CleanupRequest, Completion,
    CompletionOutcome, DeadLetter, DeadLetterFilter, Heartbeat, Hints, HistoryRecord, Lease,
    NewTask, Operation, OperationOutcome, ProcessRecord, ProcessRegistration, StepId, StepRecord,
    Store, StoreError, Submission, SweepReport, SweepRequest, TaskDefinition, TaskFilter,
    TaskRecord,
};
use crate::actor::{AskFailure, Builder, Exit, Handle};
use crate::supervision::RestartPolicy;
use connect::Place;
use fault::Fault;
pub use options::SqliteOptions;
use writer::SqliteWriter;

/// A store in an `SQLite` file.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use postroom::orchestration::store::{Store, sqlite::{SqliteOptions, SqliteStore}};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("postroom.db");
/// # let path = path.to_str().expect("a path of text");
/// let store = SqliteStore::open(path, SqliteOptions::default()).await?;
/// assert!(store.tasks(Default::default()).await?.is_empty());
/// store.close().await;
/// # Ok(())
/// # }
/// ```
pub struct SqliteStore {
    place: Arc<Place>,
    writer: Handle<SqliteWriter>,
    readers: SqlitePool,
    commits: Arc<AtomicU64>,
    /// Beginnings and ends of transactions: odd while one is under way.
    turns: Arc<AtomicU64>,
}

impl SqliteStore {
    /// Opens the file, makes it if there is none (readable by its owner alone), and brings its schema up to
    /// date. `url` is `sqlite:PATH`, `sqlite://PATH`, or a plain path.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadUrl`], [`StoreError::Open`], [`StoreError::SchemaVersion`] if a newer program made
    /// it, and [`StoreError::Busy`] if another process holds it for too long.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave an empty file or a finished schema behind, nothing else.
    pub async fn open(url: &str, options: SqliteOptions) -> Result<Self, StoreError> {
        let path = location::parse(url)?;
        let capacity = options.writer_capacity;
        let place = Arc::new(Place { path, options });
        place.create().await?;
        let mut connection = place.writer().await?;
        migrate::migrate(&mut connection, &place).await?;
        let commits = Arc::new(AtomicU64::new(0));
        let turns = Arc::new(AtomicU64::new(0));
        let factory = {
            let (place, commits) = (Arc::clone(&place), Arc::clone(&commits));
            let turns = Arc::clone(&turns);
            move || SqliteWriter::new(Arc::clone(&place), Arc::clone(&commits), Arc::clone(&turns))
        };
        let writer = Builder::supervised(factory, RestartPolicy::permanent())
            .name("SqliteWriter")
            .capacity(capacity)
            .spawn()
            .map_err(|error| place.cannot_open(error))?;
        let readers = place.readers();
        // The writer makes a connection of its own; this one has done its work.
        connection
            .close()
            .await
            .map_err(|error| place.cannot_open(error))?;
        Ok(Self {
            place,
            writer,
            readers,
            commits,
            turns,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// How many transactions this store has committed: with many callers, far fewer than it has answered.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    async fn write(&self, write: Write) -> Result<Answer, StoreError> {
        let intent = write.name();
        let answer = self.writer.ask(write).await;
        answer.map_err(|error| match error.without_message() {
            AskFailure::Handler(error) => error,
            AskFailure::Closed | AskFailure::Stopped => StoreError::Closed,
            other => StoreError::Failed {
                intent,
                source: Box::new(other),
            },
        })
    }

    fn reading<T>(&self, intent: &'static str, read: Result<T, Fault>) -> Result<T, StoreError> {
        read.map_err(|fault| fault.while_doing(intent, &self.place.name()))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.place.path)
            .field("commits", &self.commits())
            .finish_non_exhaustive()
    }
}

/// The answer of the same name as the intent; another one would be a mistake of the writer's.
macro_rules! expect {
    ($answer:expr, $pattern:pat => $value:expr) => {
        match $answer {
            $pattern => Ok($value),
            other => Err(StoreError::Corrupt {
                what: format!("the writer answered another question: {other:?}"),
            }),
        }
    };
}

#[async_trait]
impl Store for SqliteStore {
    async fn submit(
        &self,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Result<Submission, StoreError>>, StoreError> {
        let write = Write::Submit(tasks, None);
        expect!(self.write(write).await?, Answer::Submit(answers, _) => answers)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims, StoreError> {
        expect!(self.write(Write::Claim(request)).await?, Answer::Claim(claims) => claims)
    }

    async fn complete(
        &self,
        completions: Vec<Completion>,
    ) -> Result<Vec<CompletionOutcome>, StoreError> {
        let write = Write::Complete(completions, None);
        expect!(self.write(write).await?, Answer::Complete(outcomes, _) => outcomes)
    }

    async fn submit_and_claim(
        &self,
        tasks: Vec<NewTask>,
        claim: ClaimRequest,
    ) -> Result<(Vec<Result<Submission, StoreError>>, Vec<ClaimedStep>), StoreError> {
        let write = Write::Submit(tasks, Some(claim));
        expect!(self.write(write).await?, Answer::Submit(answers, steps) => (answers, steps))
    }

    async fn complete_and_claim(
        &self,
        completions: Vec<Completion>,
        claim: ClaimRequest,
    ) -> Result<(Vec<CompletionOutcome>, Vec<ClaimedStep>), StoreError> {
        let write = Write::Complete(completions, Some(claim));
        expect!(self.write(write).await?, Answer::Complete(outcomes, steps) => (outcomes, steps))
    }

    async fn heartbeat(&self, process: Uuid, lease: Duration) -> Result<Heartbeat, StoreError> {
        let write = Write::Heartbeat(process, lease);
        expect!(self.write(write).await?, Answer::Heartbeat(heartbeat) => heartbeat)
    }

    async fn release(&self, process: Uuid, leases: Vec<Lease>) -> Result<u32, StoreError> {
        let write = Write::Release(process, leases);
        expect!(self.write(write).await?, Answer::Release(released) => released)
    }

    async fn sweep(&self, request: SweepRequest) -> Result<SweepReport, StoreError> {
        expect!(self.write(Write::Sweep(request)).await?, Answer::Sweep(report) => report)
    }

    async fn operate(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<OperationOutcome>, StoreError> {
        let write = Write::Operate(operations);
        expect!(self.write(write).await?, Answer::Operate(outcomes) => outcomes)
    }

    async fn register_process(&self, registration: ProcessRegistration) -> Result<(), StoreError> {
        expect!(self.write(Write::Register(registration)).await?, Answer::Done => ())
    }

    async fn unregister_process(&self, process: Uuid) -> Result<(), StoreError> {
        expect!(self.write(Write::Unregister(process)).await?, Answer::Done => ())
    }

    async fn processes(&self) -> Result<Vec<ProcessRecord>, StoreError> {
        self.reading("list processes", read::processes(&self.readers).await)
    }

    async fn task(&self, task_uuid: Uuid) -> Result<Option<TaskRecord>, StoreError> {
        self.reading("read a task", read::task(&self.readers, task_uuid).await)
    }

    async fn definition(&self, task_uuid: Uuid) -> Result<Option<Arc<TaskDefinition>>, StoreError> {
        let read = read::definition(&self.readers, task_uuid).await;
        Ok(self.reading("read a definition", read)?.map(Arc::new))
    }

    async fn steps(&self, task_uuid: Uuid) -> Result<Vec<StepRecord>, StoreError> {
        self.reading("read steps", read::steps(&self.readers, task_uuid).await)
    }

    async fn step(&self, id: StepId) -> Result<Option<StepRecord>, StoreError> {
        self.reading("read a step", read::step(&self.readers, id).await)
    }

    async fn history(&self, task_uuid: Uuid) -> Result<Vec<HistoryRecord>, StoreError> {
        self.reading(
            "read history",
            read::history(&self.readers, task_uuid).await,
        )
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskRecord>, StoreError> {
        self.reading("list tasks", read::tasks(&self.readers, &filter).await)
    }

    async fn dead_letters(&self, filter: DeadLetterFilter) -> Result<Vec<DeadLetter>, StoreError> {
        let read = read::dead_letters(&self.readers, &filter).await;
        self.reading("list dead letters", read)
    }

    async fn cleanup(&self, request: CleanupRequest) -> Result<CleanupReport, StoreError> {
        let write = Write::Cleanup(request);
        expect!(self.write(write).await?, Answer::Cleanup(report) => report)
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.reading("count", census::census(&self.readers).await)
    }

    fn hints(&self) -> Option<Hints> {
        let own = Arc::clone(&self.turns);
        Some(watch::start(&self.place.path, own))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.reading("answer", read::ping(&self.readers).await)
    }

    async fn audit(&self) -> Result<Vec<String>, StoreError> {
        self.reading("audit itself", audit::check(&self.readers).await)
    }

    /// The readers first: the last connection to close is one that can write, and folds the log into the file.
    ///
    /// A read whose future is kept and not polled gives its connection back only when that is dropped, which
    /// may be never while its owner waits for this: so it is waited for no longer than for a lock.
    async fn close(&self) -> Vec<Arc<Exit>> {
        let patience = self.place.options.busy_timeout;
        if timeout(patience, self.readers.close()).await.is_err() {
            tracing::warn!(
                database = self.place.name(),
                "closing although somebody still reads"
            );
        }
        self.writer.drain();
        vec![self.writer.closed().await]
    }
}
