//! Recording outcomes, as one set: results, attempts, children, tasks.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Fault;
use super::readied::Readied;
use super::set::{Binds, Bound, fetch};
use super::unit::{Unit, count};
use crate::orchestration::state::StepState;
use crate::orchestration::store::sql::judge::{Child, Judgement};
use crate::orchestration::store::sql::number;
use crate::orchestration::store::{Completion, CompletionOutcome};

/// A child of completed steps as it was found, with what a claim asks for.
struct FoundChild {
    child: Child,
    callable: String,
    priority: i64,
}

pub(super) async fn complete<'w>(
    unit: &mut Unit<'w>,
    completions: &[&'w Completion],
) -> Result<Vec<CompletionOutcome>, Fault> {
    if completions.is_empty() {
        return Ok(Vec::new());
    }
    // They are read by what their rows say.
    unit.flush_steps().await?;
    let ids = completions.iter().map(|completion| completion.lease.id);
    let steps = unit.load_steps(ids).await?;
    let ids: BTreeSet<i64> = steps.iter().flatten().map(|step| step.task_id).collect();
    let mut tasks = unit.load_tasks(&ids).await?;

    let mut judgement = Judgement::new(unit.now(), completions, &steps, &tasks);
    // Children cannot be among the completed: they have waited for their parents.
    let found = children(unit, &judgement).await?;
    let children: Vec<Child> = found.iter().map(|found| found.child).collect();
    let states = judgement.recount(&mut unit.ledger, &mut tasks, &children);
    let mut waiting = Vec::new();
    for (found, state) in found.into_iter().zip(states) {
        let child = found.child;
        if state == StepState::Ready && child.state == StepState::Pending {
            unit.readied.push(Readied {
                task_id: child.task_id,
                index: child.index,
                done: child.done,
                callable: found.callable,
                priority: found.priority,
            });
        } else {
            waiting.push((child, state));
        }
    }
    unit.keep_completed(&judgement.recorded, waiting);
    for completion in completions {
        unit.known.forget_step(completion.lease.id);
    }
    let ended = unit
        .settle(&mut tasks, |id| judgement.process_of(id))
        .await?;
    unit.save_tasks(tasks.values());
    Ok(judgement.answer(&tasks, &ended)?)
}

pub(super) const CHILDREN: &str = "
    SELECT e.task_id, e.child, c.unmet, c.state, j.column3, c.callable, c.priority
    FROM {rows} j
    CROSS JOIN postroom_edges e ON e.task_id = j.column1 AND e.parent = j.column2
    CROSS JOIN postroom_steps c ON c.task_id = e.task_id AND c.idx = e.child";

/// Task, index, unmet dependencies, state, the parent's place among those asked for, handler, priority.
pub(super) type ChildRow = (i64, i64, i64, String, i64, String, i64);

/// Binds a parent, by task and index, at its place.
pub(super) fn bind_parent<'b, 'a>(
    binds: &'b mut Binds<'a>,
    (place, (task_id, index)): &(usize, (i64, i64)),
) -> Bound<'b, 'a> {
    binds.bind(*task_id)?.bind(*index)?.bind(count(*place))
}

/// The children of the successes. Costs each parent the same however many others a child has.
async fn children(
    unit: &mut Unit<'_>,
    judgement: &Judgement<'_>,
) -> Result<Vec<FoundChild>, Fault> {
    let (places, parents): (Vec<usize>, Vec<(i64, i64)>) = judgement
        .satisfied()
        .map(|(place, step)| (place, (step.task_id, i64::from(step.index))))
        .unzip();
    let found = if let Some(found) = unit.ahead.take_children(&parents) {
        found
    } else {
        let parents: Vec<_> = parents.into_iter().enumerate().collect();
        fetch(unit.conn, CHILDREN, &parents, bind_parent).await?
    };
    // A child appears once for each of its parents; they are counted here, because a large set is read in parts.
    let mut children: BTreeMap<(i64, i64), FoundChild> = BTreeMap::new();
    for (task_id, index, unmet, state, place, callable, priority) in found {
        let state = state.parse()?;
        let place: usize = number(place)?;
        let no_parent = || Fault::Corrupt(format!("child {index} has a parent too many"));
        let last = *places.get(place).ok_or_else(no_parent)?;
        let found = children
            .entry((task_id, index))
            .or_insert_with(|| FoundChild {
                child: Child {
                    task_id,
                    index,
                    unmet,
                    state,
                    done: 0,
                    last,
                },
                callable,
                priority,
            });
        found.child.done += 1;
        found.child.last = found.child.last.max(last);
    }
    Ok(children.into_values().collect())
}
