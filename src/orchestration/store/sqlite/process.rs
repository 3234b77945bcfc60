//! The processes that share the database.

use uuid::Uuid;

use super::fault::Fault;
use super::lease;
use super::unit::{Unit, json};
use crate::orchestration::store::ProcessRegistration;

pub(super) async fn register(
    unit: &mut Unit<'_>,
    registration: &ProcessRegistration,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO postroom_processes
            (process, host, pid, pid_birth, callables, only_task, heard_at, serves)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (process) DO UPDATE SET
            host = excluded.host, pid = excluded.pid, pid_birth = excluded.pid_birth,
            callables = excluded.callables, only_task = excluded.only_task,
            heard_at = excluded.heard_at, serves = excluded.serves",
    )
    .bind(registration.process.as_bytes().as_slice())
    .bind(&registration.host)
    .bind(registration.pid)
    .bind(&registration.pid_birth)
    .bind(json(&registration.callables)?)
    .bind(registration.only_task.map(|task| task.as_bytes().to_vec()))
    .bind(unit.now())
    .bind(json(&registration.serves)?)
    .execute(&mut *unit.conn)
    .await?;
    Ok(())
}

pub(super) async fn unregister(unit: &mut Unit<'_>, process: Uuid) -> Result<(), Fault> {
    sqlx::query("DELETE FROM postroom_processes WHERE process = ?1")
        .bind(process.as_bytes().as_slice())
        .execute(&mut *unit.conn)
        .await?;
    lease::release_all(unit, process).await
}
