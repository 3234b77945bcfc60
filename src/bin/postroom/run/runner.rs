//! Which process runs a task.

use postroom::orchestration::store::{ProcessRecord, Store, StoreError};
use postroom::orchestration::worker::{Liveness, ProcessIdentity};
use uuid::Uuid;

/// Silent for longer than this, a process of another host counts as gone. Well above the interval of
/// heartbeats.
const SILENCE_MS: u64 = 15_000;

/// Silent for longer than this, a process that lives is stopped, or cannot reach the database: its leases have
/// run out, and without somebody else its steps would wait for it for ever.
const LEASE_MS: u64 = 30_000;

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
        Liveness::Alive => record.silent_ms < LEASE_MS,
        Liveness::Dead => false,
        Liveness::Unknown => record.silent_ms < SILENCE_MS,
    }
}

#[cfg(test)]
mod tests {
    use postroom::orchestration::OrchestrationConfig;
    use postroom::orchestration::store::ProcessRegistration;

    use super::*;

    fn silent(identity: &ProcessIdentity, silent: u64) -> ProcessRecord {
        ProcessRecord {
            registration: ProcessRegistration {
                process: identity.process,
                host: identity.host.clone(),
                pid: identity.pid,
                pid_birth: identity.pid_birth.clone(),
                callables: Vec::new(),
                serves: Vec::new(),
                only_task: None,
            },
            silent_ms: silent,
            leases: 0,
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn o03_a_process_that_is_stopped_is_followed_no_longer_than_its_leases_last() {
        let own = ProcessIdentity::current();
        assert_eq!(
            u128::from(LEASE_MS),
            OrchestrationConfig::default().lease.as_millis()
        );
        assert!(seems_alive(&silent(&own, LEASE_MS - 1), &own));
        assert!(!seems_alive(&silent(&own, LEASE_MS), &own));
    }
}
