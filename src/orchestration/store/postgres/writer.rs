//! A writer of this process: an actor with a connection.
//!
//! Whatever waits in its mailbox goes into one transaction, heartbeats apart, so that many callers share one commit and its
//! wait for the disk. Nobody is answered before COMMIT has returned. If the transaction fails it is undone:
//! it is tried again if others were in the way or the server was away, and otherwise each intent is tried in a
//! transaction of its own, so that only the one at fault gets the error.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sqlx::pool::PoolConnection;
use sqlx::{Executor, PgConnection, Postgres};
use uuid::Uuid;

use super::batch;
use super::connect::{self, Place};
use super::fault::{Fault, Remedy};
use super::lease;
use super::notify::Notifier;
use super::opening::{self, Opening};
use super::unit::{Commit, Learned, Unit};
use crate::actor::{Actor, Batch, Context, Receive, Reply, StopReason};
use crate::orchestration::store::StoreError;
use crate::orchestration::store::sql::intent::{Answer, Write};

/// How many rows of earlier commits are left before they are taken away.
const KEPT: i64 = 256;

pub(super) struct PostgresWriter {
    place: Arc<Place>,
    commits: Arc<AtomicU64>,
    notifier: Notifier,
    /// Made when it is first needed, and again when it was lost. Kept only if there are others to read with.
    connection: Option<PoolConnection<Postgres>>,
    /// Names this writer's commits.
    writer: Uuid,
    number: i64,
    forgotten: i64,
}

impl Actor for PostgresWriter {
    type Error = Infallible;

    async fn stopped(&mut self, _: &StopReason) -> Result<(), Infallible> {
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::debug!(database = self.place.name(), %error, "closing a connection failed");
        }
        Ok(())
    }
}

impl Receive<Write> for PostgresWriter {
    const MAX_BATCH: usize = 256;

    async fn receive(&mut self, batch: Batch<Write>, _: &Context<Self>) {
        // A heartbeat holds steps of tasks that it has not locked. It does so in a transaction of its own, which waits
        // for nothing after that.
        let (heartbeats, others): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|(write, _)| is_heartbeat(write));
        for part in [heartbeats, others] {
            self.carry_out(part).await;
        }
    }
}

fn is_heartbeat(write: &Write) -> bool {
    matches!(write, Write::Heartbeat(..))
}

/// The same error for one more caller.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable {
            database,
            waited_ms,
            source,
        } => StoreError::Unavailable {
            database: database.clone(),
            waited_ms: *waited_ms,
            source: source.to_string().into(),
        },
        StoreError::Busy {
            database,
            waited_ms,
        } => StoreError::Busy {
            database: database.clone(),
            waited_ms: *waited_ms,
        },
        other => StoreError::Corrupt {
            what: other.to_string(),
        },
    }
}

/// The answer to the only intent of a batch.
fn only(mut answers: Vec<Answer>) -> Result<Answer, StoreError> {
    answers.pop().ok_or_else(|| StoreError::Corrupt {
        what: "an intent was left without an answer".to_owned(),
    })
}

impl PostgresWriter {
    /// Carries out these intents, in one transaction if that succeeds, and answers them.
    async fn carry_out(&mut self, part: Vec<(Write, Reply<Write>)>) {
        if part.is_empty() {
            return;
        }
        let (writes, mut replies): (Vec<Write>, Vec<_>) = part.into_iter().unzip();
        let all: Vec<&Write> = writes.iter().collect();
        match self.commit(&all).await {
            Ok(answers) => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    reply.ok(answer);
                }
            }
            Err(error) if writes.len() == 1 => {
                if let Some(reply) = replies.pop() {
                    reply.err(error);
                }
            }
            // Nobody's fault, and waiting for each in turn would only take longer.
            Err(error @ (StoreError::Busy { .. } | StoreError::Unavailable { .. })) => {
                for reply in replies {
                    reply.err(again(&error));
                }
            }
            Err(error) => {
                tracing::warn!(database = self.place.name(), %error, "a batch failed, trying one by one");
                for (write, reply) in writes.iter().zip(replies) {
                    let answer = self.commit(&[write]).await;
                    reply.send(answer.and_then(only));
                }
            }
        }
    }

    pub(super) fn new(place: Arc<Place>, commits: Arc<AtomicU64>, notifier: Notifier) -> Self {
        Self {
            place,
            commits,
            notifier,
            connection: None,
            writer: Uuid::new_v4(),
            number: 0,
            forgotten: 0,
        }
    }

    /// Carries out the intents in one transaction, and again for as long as that may help.
    async fn commit(&mut self, writes: &[&Write]) -> Result<Vec<Answer>, StoreError> {
        let since = Instant::now();
        let mut told = false;
        loop {
            let fault = match self.attempt(writes, since).await {
                Ok(answers) => return Ok(answers),
                Err(fault) => fault,
            };
            if !told && fault.remedy() != Remedy::None {
                told = true;
                tracing::info!(database = self.place.name(), error = %fault, "a transaction is tried again");
            }
            let intent = writes.first().map_or("commit", |write| write.name());
            self.place.again(fault, intent, since).await?;
        }
    }

    /// One transaction, or one for each heartbeat.
    async fn attempt(&mut self, writes: &[&Write], since: Instant) -> Result<Vec<Answer>, Fault> {
        let mut held = Held(self.connection.take());
        if held.0.is_none() {
            held.0 = Some(self.place.pool.acquire().await?);
            if self.prepares() {
                opening::prepare(held.conn()?).await?;
            }
        }
        self.number += 1;
        let commit = Commit {
            writer: self.writer,
            number: self.number,
            forget_from: (self.number - self.forgotten > KEPT).then_some(self.forgotten),
        };
        let done = match self.transact(held.conn()?, writes, commit).await {
            Ok(done) => done,
            Err(fault) => {
                // Or it has forgotten the statements that it had been told.
                let lost = fault.remedy() == Remedy::Reconnect || fault.is_code("26000");
                if !lost && held.conn()?.execute("ROLLBACK").await.is_ok() {
                    self.keep(held.release());
                }
                return Err(fault);
            }
        };
        // Harmless if it should turn out not to have happened.
        if let Some(task_id) = done.readied {
            self.place.head.is_before(task_id);
        }
        for learned in done.learned {
            match learned {
                Learned::Claimed(process, first) => self.place.lowest.claimed(process, first),
                _ if done.unsure.is_some() => {}
                Learned::Held(process, look, first) => {
                    self.place.lowest.found(process, look, first);
                }
                Learned::Head(seen) => self.place.head.learn(*seen),
            }
        }
        match done.unsure {
            None => self.keep(held.release()),
            Some(fault) => {
                drop(held);
                if !self.has_happened(commit, since).await? {
                    return Err(fault);
                }
            }
        }
        if done.is_marked && commit.forget_from.is_some() {
            self.forgotten = commit.number;
        }
        self.commits.fetch_add(done.transactions, Ordering::Relaxed);
        if done.made_work {
            self.notifier.notify();
        }
        Ok(done.answers)
    }

    /// Whether its connection keeps statements for it.
    fn prepares(&self) -> bool {
        self.place.options.connections > 1 && self.place.named()
    }

    /// Keeps the connection for the next transaction, or gives it to the readers if it is the only one.
    fn keep(&mut self, connection: Option<PoolConnection<Postgres>>) {
        if self.place.options.connections > 1 {
            self.connection = connection;
        }
    }

    async fn transact(
        &self,
        connection: &mut PgConnection,
        writes: &[&Write],
        commit: Commit,
    ) -> Result<Done, Fault> {
        if self.place.named() && writes.iter().all(|write| is_heartbeat(write)) {
            return self.renew(connection, writes).await;
        }
        let opening = if self.prepares() {
            let completed = batch::completed(writes);
            // Where the last claim has found nothing, it is asked first whether another one would.
            let claimed = if self.place.head.is_quiet() {
                batch::claimed(writes)
            } else {
                Vec::new()
            };
            let submitted = batch::submitted(writes);
            opening::open(connection, completed, &claimed, submitted).await?
        } else {
            Opening::at(self.place.begin(connection).await?)
        };
        let mut unit = Unit::new(connection, opening.now, self.place.named(), Some(commit));
        if let Some(completed) = opening.completed {
            unit.begins_with(completed);
        }
        unit.has_new_numbers(opening.numbers);
        unit.nothing_waits = opening.nothing_waits;
        unit.lowest = Some(&self.place.lowest);
        unit.head = Some(&self.place.head);
        let answers = batch::carry_out(&mut unit, writes).await?;
        let wrote = unit.finish().await?;
        let is_marked = unit.is_marked();
        let (made_work, learned, readied) = (unit.made_work, unit.learned, unit.readied);
        let unsure = match connection.execute("COMMIT").await {
            Ok(_) => None,
            Err(error) => {
                let fault = Fault::from(error);
                if !wrote || fault.remedy() != Remedy::Reconnect {
                    return Err(fault);
                }
                Some(fault)
            }
        };
        Ok(Done {
            transactions: 1,
            is_marked,
            answers,
            made_work,
            learned,
            readied,
            unsure,
        })
    }

    /// Heartbeats alone: a statement each and nothing around it, for they may be repeated.
    async fn renew(&self, connection: &mut PgConnection, writes: &[&Write]) -> Result<Done, Fault> {
        let mut done = Done {
            transactions: writes.len() as u64,
            ..Done::default()
        };
        for write in writes {
            if let Write::Heartbeat(process, lease) = write {
                let lowest = Some(&self.place.lowest);
                let renewal =
                    lease::renew(connection, true, lowest, None, *process, *lease).await?;
                done.answers.push(Answer::Heartbeat(renewal.heartbeat));
                done.learned.extend(renewal.learned);
            }
        }
        Ok(done)
    }

    /// Whether a transaction happened whose COMMIT was not answered. Its own row decides: who inserts it
    /// waits for whoever has inserted it, finds it if that one has committed, and otherwise takes its place, so
    /// that it can never happen any more.
    async fn has_happened(&self, commit: Commit, since: Instant) -> Result<bool, Fault> {
        loop {
            let fault = match self.take_its_place(commit).await {
                Ok(free) => return Ok(!free),
                Err(fault) => fault,
            };
            if fault.remedy() == Remedy::None || since.elapsed() >= self.place.options.patience {
                return Err(fault);
            }
            connect::pause().await;
        }
    }

    async fn take_its_place(&self, commit: Commit) -> Result<bool, Fault> {
        let mut held = Held(Some(self.place.pool.acquire().await?));
        let connection = held.conn()?;
        let now = self.place.begin(connection).await?;
        let insert = sqlx::query(
            "INSERT INTO postroom.commits (writer, number, at) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        );
        let inserted = insert
            .persistent(false)
            .bind(commit.writer)
            .bind(commit.number)
            .bind(now)
            .execute(&mut *connection)
            .await?
            .rows_affected();
        connection.execute("COMMIT").await?;
        drop(held.release());
        Ok(inserted == 1)
    }
}

/// What became of a transaction.
#[derive(Default)]
struct Done {
    transactions: u64,
    /// Whether its own row was written, and earlier ones were deleted.
    is_marked: bool,
    answers: Vec<Answer>,
    made_work: bool,
    learned: Vec<Learned>,
    /// The first task of which a step became ready.
    readied: Option<i64>,
    /// The connection was lost during COMMIT.
    unsure: Option<Fault>,
}

/// A connection with a transaction open in it: if this is dropped, the connection is closed, and what it had
/// begun is undone.
struct Held(Option<PoolConnection<Postgres>>);

impl Held {
    fn conn(&mut self) -> Result<&mut PgConnection, Fault> {
        match &mut self.0 {
            Some(connection) => Ok(connection),
            None => Err(Fault::Sql(sqlx::Error::WorkerCrashed)),
        }
    }

    /// The transaction has ended.
    fn release(mut self) -> Option<PoolConnection<Postgres>> {
        self.0.take()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}
