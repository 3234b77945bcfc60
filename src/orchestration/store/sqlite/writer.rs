//! The one writer of this process: an actor that owns the connection.
//!
//! Whatever waits in its mailbox goes into one transaction, so that many callers share one commit and its
//! wait for the disk. Nobody is answered before COMMIT has returned. If the transaction fails it is undone,
//! and each intent is tried again in one of its own, so that only the one at fault gets the error.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sqlx::{Connection, SqliteConnection};

use super::batch;
use super::connect::Place;
use super::fault::{Fault, is_busy};
use super::known::Known;
use super::opening::{self, Opening, Wanted};
use super::unit::Unit;
use crate::actor::{Actor, Batch, Context, Receive, StopReason};
use crate::orchestration::store::StoreError;
use crate::orchestration::store::sql::intent::{Answer, Write};

pub(super) struct SqliteWriter {
    place: Arc<Place>,
    commits: Arc<AtomicU64>,
    /// Beginnings and ends of transactions: odd while one is under way.
    turns: Arc<AtomicU64>,
    /// Made when it is first needed, and again when it was lost.
    connection: Option<SqliteConnection>,
    /// By what this connection has written.
    known: Known,
}

impl Actor for SqliteWriter {
    type Error = Infallible;

    async fn stopped(&mut self, _: &StopReason) -> Result<(), Infallible> {
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(database = self.place.name(), %error, "closing the database failed");
        }
        Ok(())
    }
}

impl Receive<Write> for SqliteWriter {
    const MAX_BATCH: usize = 256;

    async fn receive(&mut self, batch: Batch<Write>, _: &Context<Self>) {
        let (writes, mut replies): (Vec<Write>, Vec<_>) = batch.unzip();
        let all: Vec<&Write> = writes.iter().collect();
        let committed = self.commit(&all).await;
        match committed {
            Ok(answers) => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    reply.ok(answer);
                }
            }
            // Nobody's fault, and waiting for each in turn would only take longer.
            Err(StoreError::Busy {
                database,
                waited_ms,
            }) => {
                for reply in replies {
                    reply.err(StoreError::Busy {
                        database: database.clone(),
                        waited_ms,
                    });
                }
            }
            Err(error) if writes.len() == 1 => {
                if let Some(reply) = replies.pop() {
                    reply.err(error);
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
}

/// The answer to the only intent of a batch.
fn only(mut answers: Vec<Answer>) -> Result<Answer, StoreError> {
    answers.pop().ok_or_else(|| StoreError::Corrupt {
        what: "an intent was left without an answer".to_owned(),
    })
}

impl SqliteWriter {
    pub(super) fn new(place: Arc<Place>, commits: Arc<AtomicU64>, turns: Arc<AtomicU64>) -> Self {
        // One that was dropped on its way is over.
        let under_way = turns.load(Ordering::Relaxed) % 2;
        turns.fetch_add(under_way, Ordering::Relaxed);
        Self {
            place,
            commits,
            turns,
            connection: None,
            known: Known::default(),
        }
    }

    /// Carries out the intents in one transaction.
    async fn commit(&mut self, writes: &[&Write]) -> Result<Vec<Answer>, StoreError> {
        // Taken out, and put back only when no transaction is open in it: if this future is dropped, the
        // connection is closed with it, and what it had begun is undone.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.place.writer().await?,
        };
        self.turns.fetch_add(1, Ordering::Relaxed);
        let done = self.transact(&mut connection, writes).await;
        self.turns.fetch_add(1, Ordering::Relaxed);
        match done {
            Ok(answers) => {
                self.connection = Some(connection);
                self.commits.fetch_add(1, Ordering::Relaxed);
                Ok(answers)
            }
            Err(fault) => {
                let undone = matches!(fault, Fault::Busy(_))
                    || sqlx::query("ROLLBACK")
                        .execute(&mut connection)
                        .await
                        .is_ok();
                if undone {
                    self.connection = Some(connection);
                }
                let intent = writes.first().map_or("commit", |write| write.name());
                Err(fault.while_doing(intent, &self.place.name()))
            }
        }
    }

    async fn transact(
        &mut self,
        connection: &mut SqliteConnection,
        writes: &[&Write],
    ) -> Result<Vec<Answer>, Fault> {
        // Nothing is known after a failure, nor by another connection.
        let mut known = std::mem::take(&mut self.known);
        let wanted = Wanted::of(writes, &known);
        let opening = self.open(connection, &wanted).await?;
        known.as_of(opening.version);
        let mut unit = Unit::new(connection, opening.now, known);
        unit.ahead = opening.ahead;
        let answers = batch::carry_out(&mut unit, writes).await?;
        self.known = unit.commit().await?;
        Ok(answers)
    }

    /// Begins a transaction, waiting for whoever writes, and reads what its first intents want.
    async fn open<'w>(
        &self,
        connection: &mut SqliteConnection,
        first: &Wanted<'w>,
    ) -> Result<Opening<'w>, Fault> {
        let since = Instant::now();
        loop {
            match opening::open(connection, first).await {
                Err(Fault::Sql(error)) if is_busy(&error) => {
                    if self.place.wait(since).await.is_err() {
                        let waited = since.elapsed().as_millis();
                        return Err(Fault::Busy(u64::try_from(waited).unwrap_or(u64::MAX)));
                    }
                }
                opened => return opened,
            }
        }
    }
}
