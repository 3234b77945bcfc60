//! Recording outcomes, as one set: results, attempts, children, tasks.
//!
//! The answers are those that the same completions would get one after another. That is easy to have,
//! because a task with a running step is never settled: only the last completion of a task in a batch can
//! move it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::fault::Fault;
use super::step_row::StepRow;
use super::task_row::Tasks;
use super::unit::{HistoryRow, Unit, json, number};
use crate::orchestration::state::StepState;
use crate::orchestration::store::{
    Completion, CompletionOutcome, HistoryKind, StepOutcome, settle,
};

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
struct Child(i64, i64, i64, StepState);

/// A completion that is recorded.
struct Recorded<'a> {
    /// Its place among all completions.
    place: usize,
    completion: &'a Completion,
    step: StepRow,
    to: StepState,
    due_at: Option<i64>,
    error: Option<String>,
    newly_ready: u32,
}

impl Recorded<'_> {
    fn result(&self) -> Option<&str> {
        match &self.completion.outcome {
            StepOutcome::Success { result_json } => Some(result_json),
            StepOutcome::Failure { .. } => None,
        }
    }
}

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

    let (mut recorded, mut outcomes) = judge(unit, completions, &steps, &tasks);
    // Children cannot be among the completed: they have waited for their parents.
    let children = ready_children(unit, &mut recorded, &mut tasks).await?;
    write_steps(unit, &recorded, &children).await?;

    let before: Tasks = tasks.clone();
    let mut last: BTreeMap<i64, usize> = BTreeMap::new();
    for (number, one) in recorded.iter().enumerate() {
        if let Some(task) = tasks.get_mut(&one.step.task_id) {
            settle::recount(&mut task.counts, StepState::Running, one.to);
        }
        last.insert(one.step.task_id, number);
    }
    // What was only looked at, for a stale completion, is neither settled nor written.
    tasks.retain(|id, _| last.contains_key(id));
    let ended = unit
        .settle(&mut tasks, |id| recorded[last[&id]].completion.process)
        .await?;
    unit.save_tasks(tasks.values());

    for (number, one) in recorded.iter().enumerate() {
        let id = one.step.task_id;
        let is_last = last.get(&id) == Some(&number);
        let task = if is_last {
            tasks.get(&id)
        } else {
            before.get(&id)
        };
        outcomes[one.place] = CompletionOutcome::Recorded {
            step_state: one.to,
            task_state: task
                .map(|task| task.state)
                .ok_or_else(|| Fault::Corrupt(format!("task number {id} is missing")))?,
            newly_ready: one.newly_ready,
            finalised: is_last && ended.contains_key(&id),
        };
    }
    Ok(outcomes)
}

/// Which completions are recorded and which are refused; the refused ones have their answers already.
fn judge<'a>(
    unit: &mut Unit<'_>,
    completions: &[&'a Completion],
    steps: &[Option<StepRow>],
    tasks: &Tasks,
) -> (Vec<Recorded<'a>>, Vec<CompletionOutcome>) {
    let mut recorded = Vec::with_capacity(completions.len());
    let mut outcomes = Vec::with_capacity(completions.len());
    // Where the steps of this batch have gone by its earlier completions.
    let mut gone: HashMap<(i64, u32), StepState> = HashMap::new();
    for (place, (&completion, step)) in completions.iter().zip(steps).enumerate() {
        outcomes.push(CompletionOutcome::NotFound);
        let Some(mut step) = *step else { continue };
        if let Some(to) = gone.get(&(step.task_id, step.index)) {
            step.state = *to;
        }
        let run = tasks.get(&step.task_id).map_or(0, |task| task.run);
        let mut row = HistoryRow {
            task_id: step.task_id,
            run,
            kind: HistoryKind::Attempt,
            step: Some(step.index),
            attempt: Some(step.attempts),
            epoch: Some(completion.lease.epoch),
            from: Some(StepState::Running.as_str()),
            to: None,
            process: completion.process,
            detail: None,
        };
        if step.is_held(completion.process, completion.lease.epoch) {
            let one = outcome_of(unit.now, place, completion, step);
            gone.insert((step.task_id, step.index), one.to);
            row.to = Some(one.to.as_str());
            row.detail = one
                .error
                .clone()
                .or_else(|| Some(settle::elapsed_detail(completion.elapsed)));
            recorded.push(one);
        } else {
            row.kind = HistoryKind::Stale;
            row.attempt = None;
            row.from = None;
            row.detail = Some(settle::stale_detail(step.state, step.epoch));
            outcomes[place] = CompletionOutcome::Stale {
                step_state: step.state,
                epoch: step.epoch,
            };
        }
        unit.note(row);
    }
    (recorded, outcomes)
}

fn outcome_of(now: i64, place: usize, completion: &Completion, step: StepRow) -> Recorded<'_> {
    let (to, due_at, error) = match &completion.outcome {
        StepOutcome::Success { .. } => (StepState::Complete, None, None),
        StepOutcome::Failure { failure, retry_in } => {
            let error = Some(settle::failure_text(failure));
            match retry_in.filter(|_| step.attempts < step.max_attempts) {
                Some(delay) => (
                    StepState::RetryWait,
                    Some(now + settle::millis(delay)),
                    error,
                ),
                None => (StepState::Failed, None, error),
            }
        }
    };
    Recorded {
        place,
        completion,
        step,
        to,
        due_at,
        error,
        newly_ready: 0,
    }
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
    children: &[Child],
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
        .bind(unit.now)
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

/// Counts the successes off their children, and says which wait for nothing more. Costs each parent
/// the same however many others a child has.
async fn ready_children(
    unit: &mut Unit<'_>,
    recorded: &mut [Recorded<'_>],
    tasks: &mut Tasks,
) -> Result<Vec<Child>, Fault> {
    let (places, parents): (Vec<usize>, Vec<(i64, u32)>) = recorded
        .iter()
        .enumerate()
        .filter(|(_, one)| one.to.satisfies_dependents())
        .map(|(number, one)| (number, (one.step.task_id, one.step.index)))
        .unzip();
    if parents.is_empty() {
        return Ok(Vec::new());
    }
    let children: Vec<(i64, i64, i64, String, i64, i64)> = sqlx::query_as(
        "SELECT e.task_id, e.child, c.unmet, c.state, count(*), max(j.key)
         FROM json_each(?1) j
         CROSS JOIN postroom_edges e ON e.task_id = j.value ->> 0 AND e.parent = j.value ->> 1
         CROSS JOIN postroom_steps c ON c.task_id = e.task_id AND c.idx = e.child
         GROUP BY e.task_id, e.child",
    )
    .bind(json(&parents)?)
    .fetch_all(&mut *unit.conn)
    .await?;
    let mut rows = Vec::with_capacity(children.len());
    for (task_id, child, unmet, state, done, last) in children {
        let from: StepState = state.parse()?;
        let to = if unmet == done && from == StepState::Pending {
            // The last of its parents is the one that readied it.
            recorded[places[number::<usize>(last)?]].newly_ready += 1;
            StepState::Ready
        } else {
            from
        };
        if let Some(task) = tasks.get_mut(&task_id) {
            settle::recount(&mut task.counts, from, to);
        }
        rows.push(Child(task_id, child, done, to));
    }
    Ok(rows)
}
