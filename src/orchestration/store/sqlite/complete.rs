//! Recording outcomes, as one set: results, attempts, children, tasks.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Fault;
use super::readied::Readied;
use super::set::{Script, fetch};
use super::unit::Unit;
use crate::orchestration::state::StepState;
use crate::orchestration::store::sql::judge::{Child, Judgement, Recorded};
use crate::orchestration::store::sql::number;
use crate::orchestration::store::sql::step_row::StepRow;
use crate::orchestration::store::{Completion, CompletionOutcome};

/// A child of completed steps as it was found, with what a claim asks for.
struct FoundChild {
    child: Child,
    callable: String,
    priority: i64,
}

pub(super) async fn complete(
    unit: &mut Unit<'_>,
    completions: &[&Completion],
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
    write_steps(unit, &judgement.recorded, &waiting).await?;
    for completion in completions {
        unit.known.forget_step(completion.lease.id);
    }
    let ended = unit
        .settle(&mut tasks, |id| judgement.process_of(id))
        .await?;
    unit.save_tasks(tasks.values());
    Ok(judgement.answer(&tasks, &ended)?)
}

const WRITE_STEPS: &str = "
    UPDATE postroom_steps SET
        state = j.column4, due_at = j.column5, result = j.column6, error = j.column7, owner = NULL,
        lease_until = NULL, ended_at = j.column8
    FROM {rows} j
    WHERE postroom_steps.task_id = j.column1 AND postroom_steps.idx = j.column2
        AND postroom_steps.state = 'running' AND postroom_steps.epoch = j.column3";

const WRITE_CHILDREN: &str = "
    UPDATE postroom_steps SET unmet = unmet - j.column3, state = j.column4
    FROM {rows} j
    WHERE postroom_steps.task_id = j.column1 AND postroom_steps.idx = j.column2";

/// The completed steps, then those of their children that are not ready by it.
async fn write_steps(
    unit: &mut Unit<'_>,
    recorded: &[Recorded<'_>],
    children: &[(Child, StepState)],
) -> Result<(), Fault> {
    let now = unit.now();
    let mut script = Script::default();
    let steps = script.set(unit.conn, WRITE_STEPS, recorded, |binds, one| {
        binds
            .bind(one.step.task_id)?
            .bind(one.step.index)?
            .bind(one.step.epoch.cast_signed())?
            .bind(one.to.as_str())?
            .bind(one.due_at)?
            .bind(one.result())?
            .bind(one.error.as_deref())?
            .bind(now)
    });
    steps.await?;
    let waiting = script.set(
        unit.conn,
        WRITE_CHILDREN,
        children,
        |binds, (child, state)| {
            binds
                .bind(child.task_id)?
                .bind(child.index)?
                .bind(child.done)?
                .bind(state.as_str())
        },
    );
    waiting.await?;
    script.run(unit.conn).await
}

const CHILDREN: &str = "
    SELECT e.task_id, e.child, c.unmet, c.state, j.column3, c.callable, c.priority
    FROM {rows} j
    CROSS JOIN postroom_edges e ON e.task_id = j.column1 AND e.parent = j.column2
    CROSS JOIN postroom_steps c ON c.task_id = e.task_id AND c.idx = e.child";

/// The children of the successes. Costs each parent the same however many others a child has.
async fn children(
    unit: &mut Unit<'_>,
    judgement: &Judgement<'_>,
) -> Result<Vec<FoundChild>, Fault> {
    let parents: Vec<(usize, &StepRow)> = judgement.satisfied().collect();
    let found: Vec<(i64, i64, i64, String, i64, String, i64)> =
        fetch(unit.conn, CHILDREN, &parents, |binds, (place, step)| {
            binds
                .bind(step.task_id)?
                .bind(step.index)?
                .bind(i64::try_from(*place).unwrap_or(i64::MAX))
        })
        .await?;
    // A child appears once for each of its parents; they are counted here, because a large set is read in parts.
    let mut children: BTreeMap<(i64, i64), FoundChild> = BTreeMap::new();
    for (task_id, index, unmet, state, place, callable, priority) in found {
        let state = state.parse()?;
        let last = number(place)?;
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
