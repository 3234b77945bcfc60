//! What operators and the finaliser do to whole tasks.

use uuid::Uuid;

use super::fault::Fault;
use super::unit::Unit;
use crate::orchestration::state::{StepCounts, StepState, TaskEvent, TaskState};
use crate::orchestration::store::settle::counter;
use crate::orchestration::store::sql::number;
use crate::orchestration::store::sql::task_row::{TaskRow, Tasks};
use crate::orchestration::store::{Operation, OperationKind, OperationOutcome};

/// The task's row is locked, if there is one.
pub(super) async fn operate(
    unit: &mut Unit<'_>,
    operation: &Operation,
) -> Result<OperationOutcome, Fault> {
    let found = unit
        .tasks
        .values()
        .find(|task| task.uuid == operation.task_uuid);
    let Some(mut task) = found.cloned() else {
        return Ok(OperationOutcome::NotFound);
    };
    let before = task.state;
    let applied = match &operation.kind {
        OperationKind::Finalise => {
            task = finalise(unit, task, operation.process).await?;
            task.state != before
        }
        OperationKind::Cancel { reason } => {
            let legal = before.next(TaskEvent::Cancel).is_ok();
            if legal {
                cancel(unit, &mut task, reason, operation.process).await?;
            }
            legal
        }
        OperationKind::Retry => match before.next(TaskEvent::Retry) {
            Ok(to) => {
                retry(unit, &mut task, to, operation.process).await?;
                true
            }
            Err(_) => false,
        },
    };
    if !applied {
        return Ok(OperationOutcome::NotApplicable { state: before });
    }
    let state = task.state;
    unit.save_tasks(Tasks::from([(task.id, task)]));
    Ok(OperationOutcome::Applied { state })
}

/// Counts the steps anew and moves the task where they say.
async fn finalise(unit: &mut Unit<'_>, mut task: TaskRow, process: Uuid) -> Result<TaskRow, Fault> {
    let id = task.id;
    task.counts = count(unit, id).await?;
    let mut tasks = Tasks::from([(id, task)]);
    unit.settle(&mut tasks, |_| process).await?;
    tasks
        .remove(&id)
        .ok_or_else(|| Fault::Corrupt(format!("task number {id} is missing")))
}

async fn count(unit: &mut Unit<'_>, id: i64) -> Result<StepCounts, Fault> {
    unit.flush().await?;
    let found: Vec<(String, i64)> = unit
        .query_as("SELECT state, count(*) FROM postroom.steps WHERE task_id = $1 GROUP BY state")
        .bind(id)
        .fetch_all(&mut *unit.conn)
        .await?;
    let mut counts = StepCounts::default();
    for (state, many) in found {
        let many: u32 = number(many)?;
        *counter(&mut counts, state.parse()?) += many;
    }
    Ok(counts)
}

async fn cancel(
    unit: &mut Unit<'_>,
    task: &mut TaskRow,
    reason: &str,
    process: Uuid,
) -> Result<(), Fault> {
    unit.flush().await?;
    // Whatever the holder of a running step hands in from now on is stale.
    unit.query(
        "UPDATE postroom.steps SET
            epoch = epoch + (state = 'running')::int,
            ended_at = CASE state WHEN 'running' THEN $2 ELSE ended_at END,
            state = 'cancelled', owner = NULL, lease_until = NULL, due_at = NULL
         WHERE task_id = $1 AND state IN ('pending', 'ready', 'running', 'retry_wait')",
    )
    .bind(task.id)
    .bind(unit.now())
    .execute(&mut *unit.conn)
    .await?;
    for state in StepState::ALL.iter().filter(|state| !state.is_terminal()) {
        let many = std::mem::take(counter(&mut task.counts, *state));
        task.counts.cancelled += many;
    }
    let reason = Some(reason.to_owned());
    unit.ledger
        .move_task(task, TaskState::Cancelled, reason, process);
    Ok(())
}

async fn retry(
    unit: &mut Unit<'_>,
    task: &mut TaskRow,
    to: TaskState,
    process: Uuid,
) -> Result<(), Fault> {
    unit.flush().await?;
    unit.query(
        "UPDATE postroom.steps SET
            state = 'ready', attempts = 0, lost_leases = 0, epoch = epoch + 1
         WHERE task_id = $1 AND state = 'failed'",
    )
    .bind(task.id)
    .execute(&mut *unit.conn)
    .await?;
    task.counts.ready += std::mem::take(&mut task.counts.failed);
    task.run += 1;
    unit.ledger.move_task(task, to, None, process);
    unit.made_work = true;
    Ok(())
}
