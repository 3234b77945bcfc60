//! Recording outcomes, as one set: results, attempts, children, tasks.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Fault;
use super::step_row::{self, Found};
use super::unit::Unit;
use crate::orchestration::store::sql::judge::{Child, Judgement};
use crate::orchestration::store::sql::step_row::StepRow;
use crate::orchestration::store::{Completion, CompletionOutcome, StepId};

pub(super) async fn complete(
    unit: &mut Unit<'_>,
    completions: &[&Completion],
) -> Result<Vec<CompletionOutcome>, Fault> {
    if completions.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<StepId> = completions.iter().map(|one| one.lease.id).collect();
    let found = match unit.take_completed(&ids) {
        Some(found) => found,
        None => step_row::load_steps(unit, ids.into_iter()).await?,
    };
    let steps: Vec<Option<StepRow>> = found
        .iter()
        .map(|found| found.as_ref().map(|found| found.step))
        .collect();
    let ids: BTreeSet<i64> = steps.iter().flatten().map(|step| step.task_id).collect();
    let mut tasks = unit.load_tasks(&ids).await?;

    let mut judgement = Judgement::new(unit.now(), completions, &steps, &tasks);
    // Children cannot be among the completed: they have waited for their parents.
    let children = children(&judgement, &found)?;
    let states = judgement.recount(&mut unit.ledger, &mut tasks, &children);
    unit.save_steps(&judgement.recorded);
    unit.save_children(&children, &states);
    let ended = unit
        .settle(&mut tasks, |id| judgement.process_of(id))
        .await?;
    let outcomes = judgement.answer(&tasks, &ended)?;
    unit.save_tasks(tasks);
    Ok(outcomes)
}

/// The children of the successes. Costs each parent the same however many others a child has.
fn children(judgement: &Judgement<'_>, found: &[Option<Found>]) -> Result<Vec<Child>, Fault> {
    let by_step: BTreeMap<(i64, u32), &Found> = found
        .iter()
        .flatten()
        .map(|found| ((found.step.task_id, found.step.index), found))
        .collect();
    let mut children: BTreeMap<(i64, i32), Child> = BTreeMap::new();
    for (place, parent) in judgement.satisfied() {
        let Some(found) = by_step.get(&(parent.task_id, parent.index)) else {
            continue;
        };
        for (index, unmet, state) in found.children()? {
            let child = children.entry((parent.task_id, index)).or_insert(Child {
                task_id: parent.task_id,
                index: i64::from(index),
                unmet: i64::from(unmet),
                state,
                done: 0,
                last: place,
            });
            child.done += 1;
            child.last = place;
        }
    }
    Ok(children.into_values().collect())
}
