//! One transaction while it is under way: its connection, its time, and the history it will have written.

use std::fmt::Write;

use serde::Serialize;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::fault::Fault;
use crate::orchestration::store::HistoryKind;

/// Milliseconds since 1970 by `SQLite`'s clock.
pub(super) const CLOCK: &str = "SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER)";

/// A transaction that holds the write lock.
pub(super) struct Unit<'c> {
    pub(super) conn: &'c mut SqliteConnection,
    /// When it began. Everything in it happens at this moment.
    pub(super) now: i64,
    history: Vec<HistoryRow>,
}

/// A row of history before it is written.
#[derive(Debug, Clone, Serialize)]
pub(super) struct HistoryRow {
    pub(super) task_id: i64,
    pub(super) run: u32,
    pub(super) kind: HistoryKind,
    pub(super) step: Option<u32>,
    pub(super) attempt: Option<u32>,
    pub(super) epoch: Option<u64>,
    pub(super) from: Option<&'static str>,
    pub(super) to: Option<&'static str>,
    #[serde(serialize_with = "as_hex")]
    pub(super) process: Uuid,
    pub(super) detail: Option<String>,
}

impl<'c> Unit<'c> {
    /// The transaction has begun; reads the time.
    pub(super) async fn begin(conn: &'c mut SqliteConnection) -> Result<Self, Fault> {
        let (now,): (i64,) = sqlx::query_as(CLOCK).fetch_one(&mut *conn).await?;
        Ok(Self {
            conn,
            now,
            history: Vec::new(),
        })
    }

    /// Keeps a row to be written at the end, in order.
    pub(super) fn note(&mut self, row: HistoryRow) {
        self.history.push(row);
    }

    /// Writes the rows that were kept.
    pub(super) async fn write_history(&mut self) -> Result<(), Fault> {
        if self.history.is_empty() {
            return Ok(());
        }
        let rows = json(&std::mem::take(&mut self.history))?;
        sqlx::query(
            "INSERT INTO postroom_history
                (task_id, at, run, kind, step, attempt, epoch, from_state, to_state, process, detail)
             SELECT value ->> 'task_id', ?2, value ->> 'run', value ->> 'kind', value ->> 'step',
                    value ->> 'attempt', value ->> 'epoch', value ->> 'from', value ->> 'to',
                    unhex(value ->> 'process'), value ->> 'detail'
             FROM json_each(?1) ORDER BY key",
        )
        .bind(rows)
        .bind(self.now)
        .execute(&mut *self.conn)
        .await?;
        Ok(())
    }
}

/// A set of rows as one parameter.
pub(super) fn json(rows: &(impl Serialize + ?Sized)) -> Result<String, Fault> {
    Ok(serde_json::to_string(rows)?)
}

/// Bytes as `SQLite`'s `unhex` takes them: JSON has no bytes.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn as_hex<S: serde::Serializer>(uuid: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&uuid.simple())
}

/// An id that is stored as 16 bytes.
pub(super) fn uuid(bytes: &[u8]) -> Result<Uuid, Fault> {
    Uuid::from_slice(bytes).map_err(|_| Fault::Corrupt(format!("{} is no id", hex(bytes))))
}

/// A number that is never negative and never large, short of damage.
pub(super) fn number<T: TryFrom<i64>>(value: i64) -> Result<T, Fault> {
    T::try_from(value).map_err(|_| Fault::Corrupt(format!("{value} is out of range")))
}
