//! Recording outcomes, as one set: results, attempts, children, tasks.

use std::collections::BTreeSet;

use serde::Serialize;

use super::fault::Fault;
use super::unit::{Unit, json};
use crate::orchestration::state::StepState;
use crate::orchestration::store::sql::judge::{Child, Judgement, Recorded};
use crate::orchestration::store::sql::number;
use crate::orchestration::store::{Completion, CompletionOutcome};

/// Longer results are bound by themselves: taking apart a set costs as much as the set is long.
const LARGE: usize = 16 * 1024;

/// A step as it is written: task, position, epoch, state, due time, result, error.
#[derive(Serialize)]
struct Written<'a>(
    i64,
    u32,
    u64,
    StepState,
    Option<i64>,
    Option<&'a str>,
    Option<&'a str>,
);

/// A child of completed steps as it is written: task, position, how many of its parents are done, state.
#[derive(Serialize)]
struct ReadyChild(i64, i64, i64, StepState);

pub(super) async fn complete(
    unit: &mut Unit<'_>,
    completions: &[&Completion],
) -> Result<Vec<CompletionOutcome>, Fault> {
    if completions.is_empty() {
        return Ok(Vec::new());
    }
    let ids = completions.iter().map(|completion| completion.lease.id);
    let steps = unit.load_steps(ids).await?;
    let ids: BTreeSet<i64> = steps.iter().flatten().map(|step| step.task_id).collect();
    let mut tasks = unit.load_tasks(&ids).await?;

    let mut judgement = Judgement::new(&mut unit.ledger, completions, &steps, &tasks);
    // Children cannot be among the completed: they have waited for their parents.
    let children = children(unit, &judgement).await?;
    let states = judgement.recount(&mut tasks, &children);
    let children: Vec<ReadyChild> = children
        .iter()
        .zip(states)
        .map(|(child, state)| ReadyChild(child.task_id, child.index, child.done, state))
        .collect();
    write_steps(unit, &judgement.recorded, &children).await?;
    let ended = unit
        .settle(&mut tasks, |id| judgement.process_of(id))
        .await?;
    unit.save_tasks(tasks.values());
    Ok(judgement.answer(&tasks, &ended)?)
}

/// The completed steps, then their children, in one call.
const WRITE_STEPS: &str = "
    UPDATE postroom_steps SET
        state = j.value ->> 3, due_at = j.value ->> 4, result = j.value ->> 5,
        error = j.value ->> 6, owner = NULL, lease_until = NULL, ended_at = ?3
    FROM json_each(?1) j
    WHERE postroom_steps.task_id = j.value ->> 0 AND postroom_steps.idx = j.value ->> 1
        AND postroom_steps.state = 'running' AND postroom_steps.epoch = j.value ->> 2;
    UPDATE postroom_steps SET unmet = unmet - (j.value ->> 2), state = j.value ->> 3
    FROM json_each(?2) j
    WHERE postroom_steps.task_id = j.value ->> 0 AND postroom_steps.idx = j.value ->> 1";

async fn write_steps(
    unit: &mut Unit<'_>,
    recorded: &[Recorded<'_>],
    children: &[ReadyChild],
) -> Result<(), Fault> {
    if recorded.is_empty() {
        return Ok(());
    }
    let rows: Vec<Written<'_>> = recorded
        .iter()
        .map(|one| {
            let result = one.result().filter(|result| result.len() <= LARGE);
            let step = &one.step;
            let error = one.error.as_deref();
            Written(
                step.task_id,
                step.index,
                step.epoch,
                one.to,
                one.due_at,
                result,
                error,
            )
        })
        .collect();
    let written = sqlx::query(WRITE_STEPS)
        .bind(json(&rows)?)
        .bind(json(children)?)
        .bind(unit.now())
        .execute(&mut *unit.conn)
        .await?
        .rows_affected();
    if written != (recorded.len() + children.len()) as u64 {
        let what = format!(
            "{written} rows were written for {} completed steps and {} children",
            recorded.len(),
            children.len()
        );
        return Err(Fault::Corrupt(what));
    }
    for one in recorded {
        let Some(result) = one.result().filter(|result| result.len() > LARGE) else {
            continue;
        };
        sqlx::query("UPDATE postroom_steps SET result = ?3 WHERE task_id = ?1 AND idx = ?2")
            .bind(one.step.task_id)
            .bind(one.step.index)
            .bind(result)
            .execute(&mut *unit.conn)
            .await?;
    }
    Ok(())
}

/// The children of the successes. Costs each parent the same however many others a child has.
async fn children(unit: &mut Unit<'_>, judgement: &Judgement<'_>) -> Result<Vec<Child>, Fault> {
    let (places, parents): (Vec<usize>, Vec<(i64, u32)>) = judgement
        .satisfied()
        .map(|(place, step)| (place, (step.task_id, step.index)))
        .unzip();
    if parents.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<(i64, i64, i64, String, i64, i64)> = sqlx::query_as(
        "SELECT e.task_id, e.child, c.unmet, c.state, count(*), max(j.key)
         FROM json_each(?1) j
         CROSS JOIN postroom_edges e ON e.task_id = j.value ->> 0 AND e.parent = j.value ->> 1
         CROSS JOIN postroom_steps c ON c.task_id = e.task_id AND c.idx = e.child
         GROUP BY e.task_id, e.child",
    )
    .bind(json(&parents)?)
    .fetch_all(&mut *unit.conn)
    .await?;
    let children = found
        .into_iter()
        .map(|(task_id, index, unmet, state, done, last)| {
            Ok(Child {
                task_id,
                index,
                unmet,
                state: state.parse()?,
                done,
                last: places[number::<usize>(last)?],
            })
        });
    children.collect()
}
