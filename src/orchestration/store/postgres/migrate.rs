//! Brings the schema up to date, and refuses one that is newer than this program.

use std::time::Instant;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::connect::{self, Place};
use super::fault::{Fault, Remedy};
use crate::orchestration::store::StoreError;

/// Every change of the schema, in order; the position (from 1) is the version.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_blocked.sql"),
];

/// The oldest server that is known to work.
const OLDEST: u32 = 140_000;

/// Makes those who open the database at the same time take turns, until the transaction ends. The number is
/// the word `postroom`.
const TAKE_TURNS: &str = "SELECT pg_advisory_xact_lock(x'706f7374726f6f6d'::bigint)";

const TABLE: &str = "CREATE TABLE IF NOT EXISTS postroom.migrations (
    version    bigint PRIMARY KEY,
    applied_at bigint NOT NULL
)";

/// Rows of writers that are gone.
const FORGET: &str =
    "DELETE FROM postroom.commits WHERE at < (extract(epoch FROM now()) * 1000)::bigint - 86400000";

/// Applies what is missing, in one transaction: another process sees the old schema or the new one.
pub(super) async fn migrate(place: &Place) -> Result<(), StoreError> {
    let since = Instant::now();
    loop {
        match attempt(place).await {
            Ok(()) => return Ok(()),
            Err(Attempt::Refused(error)) => return Err(error),
            Err(Attempt::Fault(fault)) => {
                // A server that refuses connections at once is not there; one that is starting will be.
                let worth_waiting = match fault.remedy() {
                    Remedy::Again => true,
                    Remedy::Reconnect => matches!(fault, Fault::Sql(sqlx::Error::Database(_))),
                    Remedy::None => false,
                };
                if !worth_waiting || since.elapsed() >= place.options.patience {
                    return Err(match fault {
                        Fault::Sql(error) => place.cannot_open(error),
                        fault => fault.while_doing(
                            "bring its schema up to date",
                            &place.name(),
                            connect::millis(since),
                        ),
                    });
                }
                connect::pause().await;
            }
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

async fn attempt(place: &Place) -> Result<(), Attempt> {
    let mut conn = place.connection().await?;
    let outcome = match check_server(&mut conn, place).await {
        Ok(()) => up_to_date(&mut conn, place).await,
        refused => refused,
    };
    // What was to be done is done or has failed; how the connection ends does not matter.
    let _ = conn.close().await;
    outcome
}

async fn check_server(conn: &mut PgConnection, place: &Place) -> Result<(), Attempt> {
    let row = conn
        .fetch_one(sqlx::raw_sql(
            "SELECT current_setting('server_version') AS version,
                    current_setting('server_version_num')::int AS number,
                    current_setting('server_encoding') AS encoding",
        ))
        .await?;
    let version: String = row.try_get("version")?;
    let number: i32 = row.try_get("number")?;
    let encoding: String = row.try_get("encoding")?;
    if u32::try_from(number).unwrap_or(0) < OLDEST {
        let problem = format!("the server is PostgreSQL {version}, and 14 or newer is needed");
        return Err(Attempt::Refused(place.cannot_open(problem)));
    }
    if encoding != "UTF8" {
        let problem = format!("its encoding is {encoding}, and UTF8 is needed");
        return Err(Attempt::Refused(place.cannot_open(problem)));
    }
    Ok(())
}

async fn up_to_date(conn: &mut PgConnection, place: &Place) -> Result<(), Attempt> {
    place.begin(conn).await?;
    let found = version(conn, place).await?;
    if found == 0 && !place.options.create {
        let problem = "it has no schema `postroom`: no task was ever stored in it";
        return Err(Attempt::Refused(place.cannot_open(problem)));
    }
    if found < MIGRATIONS.len() {
        conn.execute(sqlx::raw_sql(TAKE_TURNS)).await?;
        // Whoever may not make schemas can use one that is there.
        if !exists(conn, "to_regnamespace('postroom')").await? {
            conn.execute(sqlx::raw_sql("CREATE SCHEMA postroom"))
                .await?;
        }
        conn.execute(sqlx::raw_sql(TABLE)).await?;
        let done = version(conn, place).await?;
        for (version, &statements) in (1_i64..).zip(MIGRATIONS).skip(done) {
            conn.execute(sqlx::raw_sql(statements)).await?;
            let record = format!(
                "INSERT INTO postroom.migrations VALUES ({version}, {})",
                connect::CLOCK
            );
            conn.execute(sqlx::raw_sql(AssertSqlSafe(record))).await?;
        }
    }
    conn.execute(sqlx::raw_sql(FORGET)).await?;
    conn.execute(sqlx::raw_sql("COMMIT")).await?;
    Ok(())
}

async fn exists(conn: &mut PgConnection, what: &'static str) -> Result<bool, sqlx::Error> {
    let statement = AssertSqlSafe(format!("SELECT {what} IS NOT NULL AS found"));
    let row = conn.fetch_one(sqlx::raw_sql(statement)).await?;
    row.try_get("found")
}

/// The version of the schema; 0 if there is none.
async fn version(conn: &mut PgConnection, place: &Place) -> Result<usize, Attempt> {
    if !exists(conn, "to_regclass('postroom.migrations')").await? {
        return Ok(0);
    }
    let row = conn
        .fetch_one(sqlx::raw_sql(
            "SELECT coalesce(max(version), 0) AS version FROM postroom.migrations",
        ))
        .await?;
    let found: i64 = row.try_get("version")?;
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
        assert_eq!(checked("postroom.tasks"), names(&tasks));
        assert_eq!(checked("postroom.steps"), names(&steps));
    }
}
