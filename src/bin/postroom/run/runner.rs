//! Which process runs a task.

use postroom::orchestration::store::{ProcessRecord, Store, StoreError};
use postroom::orchestration::worker::{Liveness, ProcessIdentity};
use uuid::Uuid;

/// Silent for longer than this, a process of another host counts as gone. Well above the interval of
/// heartbeats.
const SILENCE_MS: u64 = 15_000;

/// Another process that is at this task alone and seems to live. Of several, all of which may have come at the
/// same moment, the one that started first.
pub(super) async fn of(
    task_uuid: Uuid,
    store: &dyn Store,
    own: &ProcessIdentity,
) -> Result<Option<ProcessRecord>, StoreError> {
    let processes = store.processes().await?;
    let others = processes.into_iter().filter(|record| {
        let other = &record.registration;
        other.process != own.process
            && other.only_task == Some(task_uuid)
            && seems_alive(record, own)
    });
    Ok(others.min_by_key(|record| record.registration.process))
}

fn seems_alive(record: &ProcessRecord, own: &ProcessIdentity) -> bool {
    match own.liveness_of(&record.registration) {
        Liveness::Alive => true,
        Liveness::Dead => false,
        Liveness::Unknown => record.silent_ms < SILENCE_MS,
    }
}
