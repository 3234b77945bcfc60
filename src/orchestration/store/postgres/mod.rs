//! Workflows in `PostgreSQL`, 14 or newer.
//!
//! ```text
//!   callers ── Write ──▶ mailboxes ──▶ PostgresWriter ── BEGIN … COMMIT ──▶ server
//!      ├────── reads ─────────────▶ pool of the other connections ──────────┤
//!      └────── hints ◀──────────── a connection that listens ◀── NOTIFY ────┘
//! ```
//!
//! Everything that is written goes through a few actors, each of which puts what is waiting for it into one
//! transaction: the more callers, the more of them share a commit. Writers are to each other what other processes are:
//! any number of processes, on any number of machines, may use the same database. Transactions hold the rows of the
//! tasks that they change, in one order; claims skip what others hold. Only the server's clock counts.
//!
//! Tables, indexes and history live in the schema `postroom`, which [`open`](PostgresStore::open) makes and
//! keeps up to date.

mod audit;
mod batch;
mod block;
mod census;
mod claim;
mod cleanup;
mod columns;
mod complete;
mod connect;
mod fault;
mod fresh;
mod head;
mod joining;
mod kept;
mod lease;
mod location;
mod lowest;
mod migrate;
mod notify;
mod opening;
mod operate;
mod options;
mod process;
mod read;
mod sets;
mod start;
mod step_row;
mod submit;
mod sweep;
mod task_row;
mod unit;
mod writer;
mod writers;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
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
use crate::actor::Exit;
use connect::Place;
use notify::{Listener, Notifier};
pub use options::PostgresOptions;
use writers::Writers;

/// A store in a `PostgreSQL` database.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use postroom::orchestration::store::{Store, postgres::{PostgresOptions, PostgresStore}};
///
/// let url = "postgres://worker@db.example/work";
/// let store = PostgresStore::open(url, PostgresOptions::default()).await?;
/// assert!(store.tasks(Default::default()).await?.is_empty());
/// store.close().await;
/// # Ok(())
/// # }
/// ```
pub struct PostgresStore {
    place: Arc<Place>,
    writers: Writers,
    notifier: Notifier,
    listener: Listener,
    commits: Arc<AtomicU64>,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date. `url` is `postgres://USER:PASSWORD@HOST:PORT/DATABASE`;
    /// what it leaves out is taken from the environment (`PGHOST`, `PGUSER`, ...), as `psql` does it.
    /// `?poll_only=true` is for use behind a transaction pooler (see [`PostgresOptions::poll_only`]).
    ///
    /// With the feature `tls`, connections are encrypted where the server can (`sslmode=prefer`, the default), always
    /// (`require`), or only with a server whose certificate is signed by somebody whom the system or the file of
    /// `sslrootcert` trusts (`verify-ca`), and for that host (`verify-full`); `sslcert` and `sslkey` are what is shown to
    /// the server. `require` beside `sslrootcert` is `verify-ca`. Without the feature `prefer` sends everything in the clear
    /// and what demands more fails. What goes through a socket file is never encrypted.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadUrl`], [`StoreError::Open`] if the server cannot be reached or is too old,
    /// [`StoreError::SchemaVersion`] if a newer program made the schema.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no schema or a finished one behind.
    pub async fn open(url: &str, options: PostgresOptions) -> Result<Self, StoreError> {
        let place = Arc::new(Place::new(url, options)?);
        migrate::migrate(&place).await?;
        let commits = Arc::new(AtomicU64::new(0));
        let notifier = Notifier::start(&place)?;
        let writers = Writers::start(&place, &commits, &notifier)
            .map_err(|error| place.cannot_open(error))?;
        Ok(Self {
            listener: Listener::start(&place),
            place,
            writers,
            notifier,
            commits,
        })
    }

    /// The database as it is shown to people: its URL without the password.
    pub fn name(&self) -> String {
        self.place.name()
    }

    /// How many transactions this store has committed: with many callers, far fewer than it has answered.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("database", &self.place.name())
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

/// Reads, and again on another connection for as long as the first turns out to have been lost.
macro_rules! read {
    ($self:ident, $intent:literal, $reading:ident => $read:expr) => {{
        let since = Instant::now();
        loop {
            let answer = async {
                let mut $reading = $self.place.reading().await?;
                match $read.await {
                    Ok(answer) => $reading.end().await.map(|()| answer),
                    Err(fault) => {
                        $reading.abandon();
                        Err(fault)
                    }
                }
            };
            match answer.await {
                Ok(answer) => break Ok(answer),
                Err(fault) => $self.place.again(fault, $intent, since).await?,
            }
        }
    }};
}

#[async_trait]
impl Store for PostgresStore {
    async fn submit(
        &self,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Result<Submission, StoreError>>, StoreError> {
        let write = Write::Submit(tasks, None);
        expect!(self.writers.ask(write).await?, Answer::Submit(answers, _) => answers)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims, StoreError> {
        expect!(self.writers.ask(Write::Claim(request)).await?, Answer::Claim(claims) => claims)
    }

    async fn complete(
        &self,
        completions: Vec<Completion>,
    ) -> Result<Vec<CompletionOutcome>, StoreError> {
        let write = Write::Complete(completions, None);
        expect!(self.writers.ask(write).await?, Answer::Complete(outcomes, _) => outcomes)
    }

    async fn submit_and_claim(
        &self,
        tasks: Vec<NewTask>,
        claim: ClaimRequest,
    ) -> Result<(Vec<Result<Submission, StoreError>>, Vec<ClaimedStep>), StoreError> {
        let write = Write::Submit(tasks, Some(claim));
        expect!(self.writers.ask(write).await?, Answer::Submit(answers, steps) => (answers, steps))
    }

    async fn complete_and_claim(
        &self,
        completions: Vec<Completion>,
        claim: ClaimRequest,
    ) -> Result<(Vec<CompletionOutcome>, Vec<ClaimedStep>), StoreError> {
        let write = Write::Complete(completions, Some(claim));
        expect!(self.writers.ask(write).await?, Answer::Complete(outcomes, steps) => (outcomes, steps))
    }

    async fn heartbeat(&self, process: Uuid, lease: Duration) -> Result<Heartbeat, StoreError> {
        let write = Write::Heartbeat(process, lease);
        expect!(self.writers.ask(write).await?, Answer::Heartbeat(heartbeat) => heartbeat)
    }

    async fn release(&self, process: Uuid, leases: Vec<Lease>) -> Result<u32, StoreError> {
        let write = Write::Release(process, leases);
        expect!(self.writers.ask(write).await?, Answer::Release(released) => released)
    }

    async fn sweep(&self, request: SweepRequest) -> Result<SweepReport, StoreError> {
        expect!(self.writers.ask(Write::Sweep(request)).await?, Answer::Sweep(report) => report)
    }

    async fn operate(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<OperationOutcome>, StoreError> {
        let write = Write::Operate(operations);
        expect!(self.writers.ask(write).await?, Answer::Operate(outcomes) => outcomes)
    }

    async fn register_process(&self, registration: ProcessRegistration) -> Result<(), StoreError> {
        expect!(self.writers.ask(Write::Register(registration)).await?, Answer::Done => ())
    }

    async fn unregister_process(&self, process: Uuid) -> Result<(), StoreError> {
        expect!(self.writers.ask(Write::Unregister(process)).await?, Answer::Done => ())
    }

    async fn processes(&self) -> Result<Vec<ProcessRecord>, StoreError> {
        read!(self, "list processes", reading => read::processes(&mut reading))
    }

    async fn task(&self, task_uuid: Uuid) -> Result<Option<TaskRecord>, StoreError> {
        read!(self, "read a task", reading => read::task(&mut reading, task_uuid))
    }

    async fn definition(&self, task_uuid: Uuid) -> Result<Option<Arc<TaskDefinition>>, StoreError> {
        let found: Result<_, StoreError> =
            read!(self, "read a definition", reading => read::definition(&mut reading, task_uuid));
        Ok(found?.map(Arc::new))
    }

    async fn steps(&self, task_uuid: Uuid) -> Result<Vec<StepRecord>, StoreError> {
        read!(self, "read steps", reading => read::steps(&mut reading, task_uuid))
    }

    async fn step(&self, id: StepId) -> Result<Option<StepRecord>, StoreError> {
        read!(self, "read a step", reading => read::step(&mut reading, id))
    }

    async fn history(&self, task_uuid: Uuid) -> Result<Vec<HistoryRecord>, StoreError> {
        read!(self, "read history", reading => read::history(&mut reading, task_uuid))
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskRecord>, StoreError> {
        read!(self, "list tasks", reading => read::tasks(&mut reading, &filter))
    }

    async fn dead_letters(&self, filter: DeadLetterFilter) -> Result<Vec<DeadLetter>, StoreError> {
        read!(self, "list dead letters", reading => read::dead_letters(&mut reading, &filter))
    }

    async fn cleanup(&self, request: CleanupRequest) -> Result<CleanupReport, StoreError> {
        let write = Write::Cleanup(request);
        expect!(self.writers.ask(write).await?, Answer::Cleanup(report) => report)
    }

    async fn census(&self) -> Result<Census, StoreError> {
        read!(self, "count", reading => census::census(&mut reading))
    }

    fn writers(&self) -> usize {
        self.writers.count()
    }

    fn hints(&self) -> Option<Hints> {
        self.listener.hints()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        read!(self, "answer", reading => read::ping(&mut reading))
    }

    async fn audit(&self) -> Result<Vec<String>, StoreError> {
        let since = Instant::now();
        let found = audit::check(&self.place).await;
        found.map_err(|fault| {
            let waited = connect::millis(since);
            fault.while_doing("audit itself", &self.place.name(), waited)
        })
    }

    /// The writers first, then those that it tells; then whoever still reads, for no longer than the patience: a
    /// read whose future is kept and not polled gives its connection back only when that is dropped.
    async fn close(&self) -> Vec<Arc<Exit>> {
        self.listener.stop();
        let mut exits = self.writers.close().await;
        exits.extend(self.notifier.close().await);
        let patience = self.place.options.patience;
        if timeout(patience, self.place.pool.close()).await.is_err() {
            tracing::warn!(
                database = self.place.name(),
                "closing although somebody still reads"
            );
        }
        exits
    }
}
