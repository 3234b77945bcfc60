//! Ends tasks on every path but a step's completion: cancelled, looked at again, or left behind by a process
//! that is gone. Also continues failed ones.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::orchestration::context::SystemContext;
use crate::orchestration::store::{
    Operation, OperationKind, OperationOutcome, ProcessRecord, StepId, StoreError, SweepReport,
    SweepRequest,
};
use crate::orchestration::worker::{Liveness, end_orphans};

/// A task could not be operated on; nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the task could not be changed: {0}")]
pub struct FinalizeError(#[source] pub Arc<StoreError>);

/// What a sweep found.
#[derive(Debug, Clone)]
pub struct Swept {
    /// What it did.
    pub report: SweepReport,
    /// It had nothing to do, and no process held a lease.
    pub quiet: bool,
}

/// The logic of the task finalizer actor.
#[derive(Debug, Clone)]
pub(crate) struct TaskFinalizer {
    context: Arc<SystemContext>,
}

impl TaskFinalizer {
    pub(crate) fn new(context: Arc<SystemContext>) -> Self {
        Self { context }
    }

    /// Carries out operations in one commit; one answer for each, in order.
    pub(crate) async fn operate(
        &self,
        operations: Vec<(Uuid, OperationKind)>,
    ) -> Vec<Result<OperationOutcome, FinalizeError>> {
        let process = self.context.process();
        let intents = operations
            .iter()
            .map(|(task_uuid, kind)| Operation {
                task_uuid: *task_uuid,
                kind: kind.clone(),
                process,
            })
            .collect();
        let outcomes = match self.context.store().operate(intents).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                let error = Arc::new(error);
                return operations
                    .iter()
                    .map(|_| Err(FinalizeError(Arc::clone(&error))))
                    .collect();
            }
        };
        for ((task_uuid, kind), outcome) in operations.iter().zip(&outcomes) {
            if let OperationOutcome::Applied { state } = outcome {
                self.interrupt(*task_uuid, kind);
                if state.is_terminal() {
                    self.context.announcer().task_finished(*task_uuid, *state);
                }
            }
        }
        outcomes.into_iter().map(Ok).collect()
    }

    /// Interrupts the steps of this process whose leases an operation took away.
    fn interrupt(&self, task_uuid: Uuid, kind: &OperationKind) {
        let running = self.context.running();
        match *kind {
            OperationKind::Cancel { .. } | OperationKind::Resolve { .. } => {
                running.interrupt_task(task_uuid);
            }
            OperationKind::ResolveStep { step, .. } | OperationKind::CompleteStep { step, .. } => {
                let index = step;
                running.interrupt_step(StepId { task_uuid, index });
            }
            _ => {}
        }
    }

    /// Takes back what dead processes and time left behind.
    ///
    /// The child processes of a process on this host that is dead, or that has been silent for so long that its
    /// leases have run out (it is stopped, or hangs), are ended first: no step is run again while its earlier
    /// attempt still works.
    pub(crate) async fn sweep(&self) -> Result<Swept, StoreError> {
        let context = &self.context;
        let mut leases = 0;
        let mut dead = Vec::new();
        let mut without_leases = Vec::new();
        for record in context.store().processes().await? {
            let process = record.registration.process;
            leases += record.leases;
            match self.standing(&record) {
                Standing::Dead => dead.push(process),
                Standing::Silent => without_leases.push(process),
                Standing::Fine => {}
            }
        }
        for &process in dead.iter().chain(&without_leases) {
            // Reads /proc, which is quick but blocks; only done when a process has died or fallen silent.
            let ended = tokio::task::spawn_blocking(move || end_orphans(process)).await;
            match ended {
                Ok(0) => {}
                Ok(count) => {
                    tracing::warn!(%process, count, "ended what a lost process had left running");
                }
                Err(error) => {
                    tracing::error!(%process, %error, "looking for what a lost process left running failed");
                }
            }
        }
        let config = context.config();
        let report = context
            .store()
            .sweep(SweepRequest {
                process: context.process(),
                dead: dead.clone(),
                max_lost_leases: config.max_lost_leases,
                process_ttl: config.process_ttl,
                limit: config.sweep_limit,
            })
            .await?;
        if report.rescued.len() + report.failed.len() < config.sweep_limit as usize {
            // Everything of theirs has been taken back.
            for process in dead {
                context.store().unregister_process(process).await?;
            }
        }
        for (task_uuid, state) in &report.finalised {
            context.announcer().task_finished(*task_uuid, *state);
        }
        if !report.rescued.is_empty() {
            tracing::info!(
                steps = report.rescued.len(),
                "took back steps whose lease was lost"
            );
        }
        let quiet = leases == 0 && report == SweepReport::default();
        Ok(Swept { report, quiet })
    }

    fn standing(&self, record: &ProcessRecord) -> Standing {
        if record.registration.process == self.context.process() {
            return Standing::Fine;
        }
        let liveness = self.context.identity().liveness_of(&record.registration);
        Standing::of(record, liveness, self.context.config().lease)
    }
}

/// What is to be done about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing.
    Fine,
    /// It lives, but its leases have run out: whatever it started must not go on beside a new attempt.
    Silent,
    /// It is gone for good: its steps are taken back whatever their leases say.
    Dead,
}

impl Standing {
    fn of(record: &ProcessRecord, liveness: Liveness, lease: Duration) -> Self {
        match liveness {
            Liveness::Dead => Self::Dead,
            Liveness::Alive
                if record.leases > 0 && Duration::from_millis(record.silent_ms) >= lease =>
            {
                Self::Silent
            }
            // Of another host nothing can be ended from here.
            Liveness::Alive | Liveness::Unknown => Self::Fine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestration::store::ProcessRegistration;

    fn record(silent_ms: u64, leases: u32) -> ProcessRecord {
        ProcessRecord {
            registration: ProcessRegistration {
                process: Uuid::from_u128(1),
                host: "here".into(),
                pid: 1,
                pid_birth: "1".into(),
                callables: Vec::new(),
                serves: Vec::new(),
                only_task: None,
            },
            silent_ms,
            leases,
        }
    }

    #[test]
    fn o03_only_what_may_run_beside_a_new_attempt_is_ended() {
        let lease = Duration::from_secs(30);
        let cases = [
            (Liveness::Dead, 0, 0, Standing::Dead),
            (Liveness::Dead, 60_000, 3, Standing::Dead),
            (Liveness::Alive, 29_999, 3, Standing::Fine),
            (Liveness::Alive, 30_000, 3, Standing::Silent),
            // Its steps have been taken back already.
            (Liveness::Alive, 60_000, 0, Standing::Fine),
            (Liveness::Unknown, 60_000, 3, Standing::Fine),
        ];
        for (liveness, silent_ms, leases, expected) in cases {
            let standing = Standing::of(&record(silent_ms, leases), liveness, lease);
            assert_eq!(
                standing, expected,
                "{liveness:?} {silent_ms} ms, {leases} leases"
            );
        }
    }
}
