//! Brings the schema up to date, and refuses one that is newer than this program.

use std::time::Instant;

use sqlx::{Connection, SqliteConnection};

use super::connect::{Place, clock};
use super::fault::{Fault, is_busy};
use crate::orchestration::store::StoreError;

/// Every change of the schema, in order; the position (from 1) is the version.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_operators.sql"),
    include_str!("migrations/0003_content.sql"),
];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS postroom_migrations (
    version    INTEGER PRIMARY KEY,
    applied_at INTEGER NOT NULL
) STRICT";

/// Applies what is missing, in one transaction: another process sees the old schema or the new one.
pub(super) async fn migrate(conn: &mut SqliteConnection, place: &Place) -> Result<(), StoreError> {
    let since = Instant::now();
    loop {
        match up_to_date(conn, place).await {
            Err(Attempt::Fault(Fault::Sql(error))) if is_busy(&error) => place.wait(since).await?,
            Err(Attempt::Fault(Fault::Sql(error))) => return Err(place.cannot_open(error)),
            Err(Attempt::Fault(fault)) => {
                return Err(fault.while_doing("bring its schema up to date", &place.name()));
            }
            Err(Attempt::Refused(error)) => return Err(error),
            Ok(()) => return Ok(()),
        }
    }
}

enum Attempt {
    Fault(Fault),
    Refused(StoreError),
}

impl<E: Into<Fault>> From<E> for Attempt {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

async fn up_to_date(conn: &mut SqliteConnection, place: &Place) -> Result<(), Attempt> {
    let known = MIGRATIONS.len();
    if version(conn, place).await? == known {
        return Ok(());
    }
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(TABLE).execute(&mut *tx).await?;
    let done = version(&mut tx, place).await?;
    for (version, &statements) in (1_i64..).zip(MIGRATIONS).skip(done) {
        sqlx::raw_sql(statements).execute(&mut *tx).await?;
        sqlx::query(concat!(
            "INSERT INTO postroom_migrations (version, applied_at) VALUES (?1, ",
            clock!(),
            ")"
        ))
        .bind(version)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The version of the schema; 0 if there is none.
async fn version(conn: &mut SqliteConnection, place: &Place) -> Result<usize, Attempt> {
    let exists: Option<(i64,)> =
        sqlx::query_as("SELECT 1 FROM sqlite_schema WHERE name = 'postroom_migrations'")
            .fetch_optional(&mut *conn)
            .await?;
    if exists.is_none() {
        return Ok(0);
    }
    let (found,): (i64,) =
        sqlx::query_as("SELECT coalesce(max(version), 0) FROM postroom_migrations")
            .fetch_one(&mut *conn)
            .await?;
    match usize::try_from(found) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(Attempt::Refused(StoreError::SchemaVersion {
            database: place.name(),
            found,
            known: i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX),
            advice: "use the version of this program that made it, or a newer one",
        })),
    }
}

#[cfg(test)]
mod tests {
    use crate::orchestration::state::{StepState, TaskState};

    /// The states named in the CHECK of a table.
    fn checked(table: &str) -> Vec<String> {
        let schema = super::MIGRATIONS.concat();
        let table = schema
            .split(&format!("CREATE TABLE {table} ("))
            .nth(1)
            .unwrap();
        let list = table.split("CHECK (state IN (").nth(1).unwrap();
        let list = list.split(')').next().unwrap();
        list.split(',')
            .map(|word| word.trim().trim_matches('\'').to_owned())
            .collect()
    }

    #[test]
    fn the_checks_know_every_state() {
        let names = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let tasks: Vec<&str> = TaskState::ALL.iter().map(|state| state.as_str()).collect();
        let steps: Vec<&str> = StepState::ALL.iter().map(|state| state.as_str()).collect();
        assert_eq!(checked("postroom_tasks"), names(&tasks));
        assert_eq!(checked("postroom_steps"), names(&steps));
    }
}
