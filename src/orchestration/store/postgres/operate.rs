//! What operators and the finaliser do to whole tasks.

use uuid::Uuid;

use super::columns::long;
use super::fault::Fault;
use super::unit::{Unit, json, text};
use crate::orchestration::state::StepCounts;
use crate::orchestration::store::plan::{Operated, OperatedStep, StepChange, plan};
use crate::orchestration::store::sql::number;
use crate::orchestration::store::sql::task_row::{TaskRow, Tasks};
use crate::orchestration::store::{Operation, OperationOutcome};

/// The task's row is locked, if there is one, and none of its steps is claimed in the meantime.
pub(super) async fn operate(
    unit: &mut Unit<'_>,
    operation: &Operation,
) -> Result<OperationOutcome, Fault> {
    let mut found = unit.tasks.values();
    let found = found.find(|task| task.uuid == operation.task_uuid);
    let Some(mut task) = found.cloned() else {
        return Ok(OperationOutcome::NotFound);
    };
    let steps = steps(unit, task.id).await?;
    let operated = Operated {
        state: task.state,
        policy: task.policy,
        counts: split(task.counts, &steps),
        steps,
    };
    let plan = match plan(operated, &operation.kind) {
        Ok(plan) => plan,
        Err(refusal) => return Ok(refusal),
    };
    write_steps(unit, &task, &plan.steps, plan.new_run, operation.process).await?;
    unit.ledger.carry_out(&mut task, plan, operation.process);
    unit.made_work |= operation.kind.may_ready_steps();
    let state = task.state;
    unit.save_tasks(Tasks::from([(task.id, task)]));
    Ok(OperationOutcome::Applied { state })
}

/// One counter is kept for what is ready and what runs; which of the two it is can be seen from the steps.
fn split(counts: StepCounts, steps: &[OperatedStep]) -> StepCounts {
    let seen: StepCounts = steps.iter().map(|step| step.state).collect();
    if seen.ready + seen.running == counts.ready + counts.running {
        StepCounts {
            ready: seen.ready,
            running: seen.running,
            ..counts
        }
    } else {
        counts
    }
}

/// Name, state, unmet dependencies, parents, error.
type Stored = (String, String, i32, Vec<i32>, Option<String>);

async fn steps(unit: &mut Unit<'_>, id: i64) -> Result<Vec<OperatedStep>, Fault> {
    let found: Vec<Stored> = unit
        .query_as(
            "SELECT name, state, unmet, parents, error FROM postroom.steps
             WHERE task_id = $1 ORDER BY idx",
        )
        .bind(id)
        .fetch_all(&mut *unit.conn)
        .await?;
    let small = |value: i32| number(i64::from(value));
    found
        .into_iter()
        .map(|(name, state, unmet, parents, error)| {
            Ok(OperatedStep {
                name,
                state: state.parse()?,
                unmet: small(unmet)?,
                parents: parents.into_iter().map(small).collect::<Result<_, _>>()?,
                error,
            })
        })
        .collect()
}

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
    tell(unit, task, changes, new_run, process).await?;
    let column = |of: fn(&StepChange) -> bool| -> Vec<bool> { changes.iter().map(of).collect() };
    let indexes: Vec<i64> = changes.iter().map(|one| i64::from(one.index)).collect();
    let states: Vec<&str> = changes.iter().map(|one| one.to.as_str()).collect();
    let unmet: Vec<i64> = changes.iter().map(|one| i64::from(one.unmet)).collect();
    let results: Vec<Option<String>> = changes
        .iter()
        .map(|one| {
            one.result
                .as_deref()
                .map(|result| json(result).into_owned())
        })
        .collect();
    unit.query(
        "UPDATE postroom.steps s SET
            state = n.state, unmet = n.unmet, epoch = s.epoch + n.touched::int,
            result = CASE WHEN n.touched THEN n.result ELSE s.result END,
            attempts = CASE WHEN n.reset THEN 0 ELSE s.attempts END,
            lost_leases = CASE WHEN n.reset THEN 0 ELSE s.lost_leases END,
            error = CASE WHEN n.clears THEN NULL ELSE s.error END,
            ended_at = CASE WHEN n.ends THEN $2 ELSE s.ended_at END,
            owner = NULL, lease_until = NULL, due_at = NULL
         FROM unnest($3::bigint[], $4::text[], $5::bigint[], $6::bool[], $7::bool[], $8::bool[],
                     $9::bool[], $10::text[])
            AS n (idx, state, unmet, touched, reset, clears, ends, result)
         WHERE s.task_id = $1 AND s.idx = n.idx",
    )
    .bind(task.id)
    .bind(unit.now())
    .bind(indexes)
    .bind(states)
    .bind(unmet)
    .bind(column(|one| one.touched))
    .bind(column(StepChange::is_reset))
    .bind(column(StepChange::clears_error))
    .bind(column(StepChange::ends_now))
    .bind(results)
    .execute(&mut *unit.conn)
    .await?;
    unit.wrote();
    Ok(())
}

/// Rows of history. Results can be large, so they are copied where they are. What came before is written
/// already and stands before.
async fn tell(
    unit: &mut Unit<'_>,
    task: &TaskRow,
    changes: &[StepChange],
    new_run: bool,
    process: Uuid,
) -> Result<(), Fault> {
    let (mut indexes, mut from, mut to, mut notes) = (vec![], vec![], vec![], vec![]);
    for change in changes {
        if let Some(note) = &change.note {
            indexes.push(i64::from(change.index));
            from.push(change.from.as_str());
            to.push(change.to.as_str());
            notes.push(text(note).into_owned());
        }
    }
    if indexes.is_empty() {
        return Ok(());
    }
    unit.query(
        "INSERT INTO postroom.history
            (task_id, at, run, kind, step, attempt, epoch, from_state, to_state, process, detail,
             result)
         SELECT s.task_id, $2, $3::bigint, 'operator', s.idx, s.attempts, s.epoch + 1,
                n.from_state, n.to_state, $4, n.detail, s.result
         FROM unnest($5::bigint[], $6::text[], $7::text[], $8::text[]) WITH ORDINALITY
            AS n (idx, from_state, to_state, detail, place)
         JOIN postroom.steps s ON s.task_id = $1 AND s.idx = n.idx
         ORDER BY n.place",
    )
    .bind(task.id)
    .bind(unit.now())
    .bind(long(u64::from(task.run) + u64::from(new_run)))
    .bind(process)
    .bind(indexes)
    .bind(from)
    .bind(to)
    .bind(notes)
    .execute(&mut *unit.conn)
    .await?;
    Ok(())
}
