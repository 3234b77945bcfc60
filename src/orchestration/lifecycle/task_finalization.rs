//! Ends tasks on every path but a step's completion: cancelled, looked at again, or left behind by a process
//! that is gone. Also continues failed ones.

use std::sync::Arc;

use uuid::Uuid;

use crate::orchestration::context::SystemContext;
use crate::orchestration::store::{
    Operation, OperationKind, OperationOutcome, ProcessRecord, StoreError, SweepReport,
    SweepRequest,
};
use crate::orchestration::worker::{Liveness, end_orphans};

/// A task could not be operated on; nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the task could not be changed: {0}")]
pub struct FinalizeError(#[source] pub Arc<StoreError>);

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
                if matches!(kind, OperationKind::Cancel { .. }) {
                    self.context.running().interrupt_task(*task_uuid);
                }
                if state.is_terminal() {
                    self.context.announcer().task_finished(*task_uuid, *state);
                }
            }
        }
        outcomes.into_iter().map(Ok).collect()
    }

    /// Takes back what dead processes and time left behind.
    ///
    /// What is left of a dead process's child processes is ended first, so that no step is run again while its
    /// earlier attempt still works.
    pub(crate) async fn sweep(&self) -> Result<SweepReport, StoreError> {
        let context = &self.context;
        let dead: Vec<Uuid> = context
            .store()
            .processes()
            .await?
            .iter()
            .filter(|record| self.is_dead(record))
            .map(|record| record.registration.process)
            .collect();
        for &process in &dead {
            // Reads /proc, which is quick but blocks; only done when a process has died.
            let ended = tokio::task::spawn_blocking(move || end_orphans(process)).await;
            match ended {
                Ok(0) => {}
                Ok(count) => {
                    tracing::warn!(%process, count, "ended what a dead process had left running");
                }
                Err(error) => {
                    tracing::error!(%process, %error, "looking for what a dead process left running failed");
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
        Ok(report)
    }

    fn is_dead(&self, record: &ProcessRecord) -> bool {
        let registration = &record.registration;
        registration.process != self.context.process()
            && self.context.identity().liveness_of(registration) == Liveness::Dead
    }
}
