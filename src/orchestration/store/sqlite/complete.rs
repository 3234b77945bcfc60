//! Recording outcomes, as one set: results, attempts, children, tasks.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::SqliteRow;

use super::fault::Fault;
use super::readied::{KnownResult, Readied};
use super::runnable::Claimable;
use super::set::{Binds, Bound, fetch};
use super::unit::{Unit, count};
use crate::orchestration::state::StepState;
use crate::orchestration::store::sql::judge::{Child, Judgement, Recorded};
use crate::orchestration::store::sql::{from_row, number};
use crate::orchestration::store::{Completion, CompletionOutcome};

/// A child of completed steps as it was found, with what a claim asks for.
struct FoundChild {
    child: Child,
    priority: i64,
    /// How many parents it has.
    parents: i64,
    /// Those of them that are done: their places among the recorded, and their names.
    done: Vec<(usize, String)>,
    step: Claimable,
}

impl FoundChild {
    /// The results of its parents in the order of the template, if it has no others than those that were recorded.
    fn results<'w>(&mut self, recorded: &[Recorded<'w>]) -> Option<Vec<KnownResult<'w>>> {
        if self.parents != self.child.done {
            return None;
        }
        let mut done = std::mem::take(&mut self.done);
        done.sort_by_key(|(place, _)| recorded[*place].step.index);
        let result = |(place, name): (usize, String)| KnownResult {
            name,
            result: recorded[place].result(),
        };
        Some(done.into_iter().map(result).collect())
    }
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
    for (mut found, state) in found.into_iter().zip(states) {
        let child = found.child;
        if state == StepState::Ready && child.state == StepState::Pending {
            unit.readied.push(Readied {
                task_id: child.task_id,
                index: child.index,
                priority: found.priority,
                done: child.done,
                results: found.results(&judgement.recorded),
                step: found.step,
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
    SELECT c.task_id, c.idx, c.unmet, c.state, j.column3 AS place, c.priority, c.parents, c.name, c.callable,
           c.epoch, c.attempts, c.max_attempts, p.name AS parent
    FROM {rows} j
    CROSS JOIN postroom_edges e ON e.task_id = j.column1 AND e.parent = j.column2
    CROSS JOIN postroom_steps c ON c.task_id = e.task_id AND c.idx = e.child
    CROSS JOIN postroom_steps p ON p.task_id = e.task_id AND p.idx = e.parent";

from_row! {
    /// A child of one of the parents asked for, of which it has the place.
    pub(super) struct ChildRow(SqliteRow) {
        task_id: i64,
        idx: i64,
        unmet: i64,
        state: String,
        place: i64,
        priority: i64,
        parents: i64,
        name: String,
        callable: String,
        epoch: i64,
        attempts: i64,
        max_attempts: i64,
        parent: String,
    }
}

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
    for row in found {
        let state = row.state.parse()?;
        let place: usize = number(row.place)?;
        let no_parent = || Fault::Corrupt(format!("child {} has a parent too many", row.idx));
        let last = *places.get(place).ok_or_else(no_parent)?;
        let found = children
            .entry((row.task_id, row.idx))
            .or_insert_with(|| FoundChild {
                child: Child {
                    task_id: row.task_id,
                    index: row.idx,
                    unmet: row.unmet,
                    state,
                    done: 0,
                    last,
                },
                priority: row.priority,
                parents: row.parents,
                done: Vec::new(),
                step: Claimable {
                    name: row.name,
                    callable: row.callable,
                    epoch: row.epoch,
                    attempts: row.attempts,
                    max_attempts: row.max_attempts,
                },
            });
        found.child.done += 1;
        found.child.last = found.child.last.max(last);
        // Of more parents than were completed the names are not needed.
        if row.parents <= count(places.len()) {
            found.done.push((last, row.parent));
        }
    }
    Ok(children.into_values().collect())
}
