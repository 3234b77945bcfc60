//! What operators and the finaliser do to whole tasks.

use std::collections::HashMap;

use serde::Serialize;
use uuid::Uuid;

use super::fault::Fault;
use super::unit::{Unit, hex, json};
use crate::orchestration::state::StepState;
use crate::orchestration::store::plan::{Operated, OperatedStep, StepChange, plan};
use crate::orchestration::store::sql::number;
use crate::orchestration::store::sql::task_row::TaskRow;
use crate::orchestration::store::{Operation, OperationOutcome};

pub(super) async fn operate(
    unit: &mut Unit<'_>,
    operation: &Operation,
) -> Result<OperationOutcome, Fault> {
    let Some(id) = unit.task_number(operation.task_uuid).await? else {
        return Ok(OperationOutcome::NotFound);
    };
    let mut tasks = unit.load_tasks(&[id].into()).await?;
    let Some(mut task) = tasks.remove(&id) else {
        return Ok(OperationOutcome::NotFound);
    };
    let operated = Operated {
        state: task.state,
        policy: task.policy,
        counts: task.counts,
        steps: steps(unit, id).await?,
    };
    let plan = match plan(operated, &operation.kind) {
        Ok(plan) => plan,
        Err(refusal) => return Ok(refusal),
    };
    write_steps(unit, &task, &plan.steps, plan.new_run, operation.process).await?;
    unit.ledger.carry_out(&mut task, plan, operation.process);
    unit.save_tasks([&task].into_iter());
    Ok(OperationOutcome::Applied { state: task.state })
}

async fn steps(unit: &mut Unit<'_>, id: i64) -> Result<Vec<OperatedStep>, Fault> {
    let edges: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT child, parent FROM postroom_edges WHERE task_id = ?1 ORDER BY child, parent",
    )
    .bind(id)
    .fetch_all(&mut *unit.conn)
    .await?;
    let mut parents: HashMap<i64, Vec<u32>> = HashMap::new();
    for (child, parent) in edges {
        parents.entry(child).or_default().push(number(parent)?);
    }
    let found: Vec<(i64, String, String, i64, Option<String>)> = sqlx::query_as(
        "SELECT idx, name, state, unmet, error FROM postroom_steps WHERE task_id = ?1 ORDER BY idx",
    )
    .bind(id)
    .fetch_all(&mut *unit.conn)
    .await?;
    found
        .into_iter()
        .map(|(index, name, state, unmet, error)| {
            Ok(OperatedStep {
                name,
                state: state.parse()?,
                unmet: number(unmet)?,
                parents: parents.remove(&index).unwrap_or_default(),
                error,
            })
        })
        .collect()
}

/// A step as it is written: position, state, unmet dependencies; touched, reset, error cleared, ends now.
#[derive(Serialize)]
struct Written(u32, StepState, u32, [bool; 4]);

/// A row of history: position, state before, state after, word. Attempt, epoch and result are the step's.
#[derive(Serialize)]
struct Noted<'a>(u32, StepState, StepState, &'a str);

async fn write_steps(
    unit: &mut Unit<'_>,
    task: &TaskRow,
    changes: &[StepChange],
    new_run: bool,
    process: Uuid,
) -> Result<(), Fault> {
    if changes.is_empty() {
        return Ok(());
    }
    let noted: Vec<Noted<'_>> = changes
        .iter()
        .filter_map(|change| {
            Some(Noted(
                change.index,
                change.from,
                change.to,
                change.note.as_deref()?,
            ))
        })
        .collect();
    if !noted.is_empty() {
        // Results can be large, so they are copied where they are; what came before is to stand before.
        unit.flush_history().await?;
        sqlx::query(
            "INSERT INTO postroom_history
                (task_id, at, run, kind, step, attempt, epoch, from_state, to_state, process, detail, result)
             SELECT s.task_id, ?3, ?4, 'operator', s.idx, s.attempts, s.epoch + 1, j.value ->> 1,
                    j.value ->> 2, unhex(?5), j.value ->> 3, s.result
             FROM json_each(?2) j
             CROSS JOIN postroom_steps s ON s.task_id = ?1 AND s.idx = j.value ->> 0
             ORDER BY j.key",
        )
        .bind(task.id)
        .bind(json(&noted)?)
        .bind(unit.now())
        .bind(task.run + u32::from(new_run))
        .bind(hex(process.as_bytes()))
        .execute(&mut *unit.conn)
        .await?;
    }
    let written: Vec<Written> = changes
        .iter()
        .map(|change| {
            Written(
                change.index,
                change.to,
                change.unmet,
                [
                    change.touched,
                    change.is_reset(),
                    change.clears_error(),
                    change.ends_now(),
                ],
            )
        })
        .collect();
    sqlx::query(
        "UPDATE postroom_steps SET
            state = j.value ->> 1, unmet = j.value ->> 2, epoch = epoch + (j.value ->> '$[3][0]'),
            result = iif(j.value ->> '$[3][0]', NULL, result),
            attempts = iif(j.value ->> '$[3][1]', 0, attempts),
            lost_leases = iif(j.value ->> '$[3][1]', 0, lost_leases),
            error = iif(j.value ->> '$[3][2]', NULL, error),
            ended_at = iif(j.value ->> '$[3][3]', ?3, ended_at),
            owner = NULL, lease_until = NULL, due_at = NULL
         FROM json_each(?2) j
         WHERE postroom_steps.task_id = ?1 AND postroom_steps.idx = j.value ->> 0",
    )
    .bind(task.id)
    .bind(json(&written)?)
    .bind(unit.now())
    .execute(&mut *unit.conn)
    .await?;
    for change in changes {
        if let Some(result) = &change.result {
            sqlx::query("UPDATE postroom_steps SET result = ?3 WHERE task_id = ?1 AND idx = ?2")
                .bind(task.id)
                .bind(change.index)
                .bind(result)
                .execute(&mut *unit.conn)
                .await?;
        }
    }
    Ok(())
}
