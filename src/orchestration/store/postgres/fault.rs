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

/// What can be done about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Others were in the way, and the server has undone the transaction: the same again.
    Again,
    /// The connection is gone or the server is not there: the same again, on a new connection.
    Reconnect,
    /// The same again would fail again.
    None,
}

impl Fault {
    /// Whether the server said this.
    pub(super) fn is_code(&self, code: &str) -> bool {
        matches!(self, Self::Sql(error) if error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|found| found == code))
    }

    pub(super) fn remedy(&self) -> Remedy {
        match self {
            Self::Sql(error) => remedy(error),
            Self::Corrupt(_) | Self::Json(_) => Remedy::None,
        }
    }

    /// Names what was being done, and where. `waited_ms`: how long it was tried.
    pub(super) fn while_doing(
        self,
        intent: &'static str,
        database: &str,
        waited_ms: u64,
    ) -> StoreError {
        let database = database.to_owned();
        match (self.remedy(), self) {
            (_, Self::Corrupt(what)) => StoreError::Corrupt {
                what: format!("{database}: {what}"),
            },
            (_, Self::Json(source)) => StoreError::Failed {
                intent,
                source: Box::new(source),
            },
            (_, Self::Sql(sqlx::Error::PoolClosed)) => StoreError::Closed,
            (Remedy::Again, Self::Sql(_)) => StoreError::Busy {
                database,
                waited_ms,
            },
            (Remedy::Reconnect, Self::Sql(source)) => StoreError::Unavailable {
                database,
                waited_ms,
                source: Box::new(source),
            },
            (Remedy::None, Self::Sql(source)) => StoreError::Failed {
                intent,
                source: Box::new(source),
            },
        }
    }
}

fn remedy(error: &sqlx::Error) -> Remedy {
    use sqlx::Error as E;
    match error {
        E::Database(error) => match error.code().as_deref() {
            // Serialisation failure, deadlock, lock not to be had, statement timeout.
            Some("40001" | "40P01" | "55P03" | "57014") => Remedy::Again,
            // The server ended the session, is starting or stopping, or has no room for one more.
            Some("57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "53300") => Remedy::Reconnect,
            Some(code) if code.starts_with("08") => Remedy::Reconnect,
            _ => Remedy::None,
        },
        E::Io(_) | E::Protocol(_) | E::PoolTimedOut | E::WorkerCrashed => Remedy::Reconnect,
        _ => Remedy::None,
    }
}
