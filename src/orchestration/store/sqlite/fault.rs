//! What goes wrong inside, before it is known what was being done.

use crate::orchestration::state::UnknownState;
use crate::orchestration::store::StoreError;
use crate::orchestration::store::sql::Corrupt;

/// An error of a statement, or of what it brought.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error("{0}")]
    Corrupt(String),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The lock was not to be had within the bound.
    #[error("locked for {0} ms")]
    Busy(u64),
}

impl From<UnknownState> for Fault {
    fn from(error: UnknownState) -> Self {
        Self::Corrupt(error.to_string())
    }
}

impl From<Corrupt> for Fault {
    fn from(Corrupt(what): Corrupt) -> Self {
        Self::Corrupt(what)
    }
}

impl Fault {
    /// Names what was being done, and where.
    pub(super) fn while_doing(self, intent: &'static str, database: &str) -> StoreError {
        let database = database.to_owned();
        match self {
            Self::Sql(sqlx::Error::PoolClosed) => StoreError::Closed,
            Self::Busy(waited_ms) => StoreError::Busy {
                database,
                waited_ms,
            },
            Self::Corrupt(what) => StoreError::Corrupt {
                what: format!("{database}: {what}"),
            },
            Self::Sql(source) => StoreError::Failed {
                intent,
                source: Box::new(source),
            },
            Self::Json(source) => StoreError::Failed {
                intent,
                source: Box::new(source),
            },
        }
    }
}

/// Whether `SQLite` says that somebody else holds a lock.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    // The low byte is the kind, the rest tells more of it.
    code(error).is_some_and(|code| matches!(code & 0xff, BUSY | LOCKED))
}

/// Whether `SQLite` says that others have written since this transaction began to read: it can never write.
pub(super) fn is_stale(error: &sqlx::Error) -> bool {
    const BUSY_SNAPSHOT: i32 = 517;
    code(error) == Some(BUSY_SNAPSHOT)
}

fn code(error: &sqlx::Error) -> Option<i32> {
    let error = error.as_database_error()?;
    error.code()?.parse().ok()
}
