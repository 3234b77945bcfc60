//! What the stores on SQL databases share: the intents that their writers carry out, and everything that is
//! decided about rows once they have been read. Statements stay with each database; no rule stands twice.

pub(super) mod block;
pub(super) mod intent;
pub(super) mod joining;
pub(super) mod judge;
pub(super) mod ledger;
pub(super) mod step_row;
pub(super) mod task_row;

/// A struct that is read from a row, each field from the column of its name.
///
/// What sqlx's derive does; but that has the drivers of both databases built a second time, for the compiler.
macro_rules! from_row {
    ($(#[$about:meta])* $scope:vis struct $name:ident($row:ty) { $($field:ident: $type:ty),+ $(,)? }) => {
        $(#[$about])*
        $scope struct $name { $($scope $field: $type),+ }

        impl sqlx::FromRow<'_, $row> for $name {
            fn from_row(row: &$row) -> sqlx::Result<Self> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?),+ })
            }
        }
    };
}
pub(super) use from_row;

use super::HistoryKind;
use crate::orchestration::state::FailurePolicy;

/// What is stored cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Corrupt(pub(super) String);

/// Whether an error of a statement is the database's and not of what was asked of it.
pub(super) fn is_outage(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Database(error) => error.code().is_some_and(|code| match code.parse::<i32>() {
            // `SQLite`: out of memory, read-only, disk errors, damage, disk full, cannot be opened, no database.
            Ok(number) if code.len() < 5 => {
                matches!(number & 0xff, 7 | 8 | 10 | 11 | 13 | 14 | 26)
            }
            // `PostgreSQL`: connection, login, no such database, resources, intervention, its system, its own mistakes;
            // read-only, rights taken away, and a database that takes no connections.
            _ => {
                ["08", "28", "3D", "53", "57", "58", "XX"]
                    .iter()
                    .any(|class| code.starts_with(class))
                    || ["25006", "42501", "55000"].contains(&&*code)
            }
        }),
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::WorkerCrashed => true,
        _ => false,
    }
}

/// A number that is never negative and never large, short of damage.
pub(super) fn number<T: TryFrom<i64>>(value: i64) -> Result<T, Corrupt> {
    T::try_from(value).map_err(|_| Corrupt(format!("{value} is out of range")))
}

/// A policy by the word that is stored.
pub(super) fn failure_policy(name: &str) -> Result<FailurePolicy, Corrupt> {
    FailurePolicy::from_name(name).ok_or_else(|| Corrupt(format!("{name:?} is no failure policy")))
}

/// What a row of history tells of, by the word that is stored.
pub(super) fn history_kind(name: &str) -> Result<HistoryKind, Corrupt> {
    match name {
        "task_state" => Ok(HistoryKind::TaskState),
        "attempt" => Ok(HistoryKind::Attempt),
        "stale" => Ok(HistoryKind::Stale),
        "lease_lost" => Ok(HistoryKind::LeaseLost),
        "operator" => Ok(HistoryKind::Operator),
        other => Err(Corrupt(format!("{other:?} is no kind of history"))),
    }
}
