//! The processes that share the database.

use uuid::Uuid;

use super::fault::Fault;
use super::lease;
use super::unit::{Unit, text};
use crate::orchestration::store::ProcessRegistration;

pub(super) async fn register(
    unit: &mut Unit<'_>,
    registration: &ProcessRegistration,
) -> Result<(), Fault> {
    unit.query(
        "INSERT INTO postroom.processes
            (process, host, pid, pid_birth, callables, only_task, serves, heard_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (process) DO UPDATE SET
            host = excluded.host, pid = excluded.pid, pid_birth = excluded.pid_birth,
            callables = excluded.callables, only_task = excluded.only_task,
            serves = excluded.serves, heard_at = excluded.heard_at",
    )
    .bind(registration.process)
    .bind(text(&registration.host).into_owned())
    .bind(i64::from(registration.pid))
    .bind(text(&registration.pid_birth).into_owned())
    .bind(&registration.callables)
    .bind(registration.only_task)
    .bind(serde_json::to_string(&registration.serves)?)
    .bind(unit.now())
    .execute(&mut *unit.conn)
    .await?;
    unit.wrote();
    Ok(())
}

pub(super) async fn unregister(unit: &mut Unit<'_>, process: Uuid) -> Result<(), Fault> {
    unit.query("DELETE FROM postroom.processes WHERE process = $1")
        .bind(process)
        .execute(&mut *unit.conn)
        .await?;
    unit.wrote();
    if let Some(lowest) = unit.lowest {
        lowest.forget(process);
    }
    lease::release_all(unit, process).await
}
