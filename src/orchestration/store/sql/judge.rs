//! Which completions are recorded, and what each is answered.
//!
//! The answers are those that the same completions would get one after another. That is easy to have,
//! because a task with a running step is never settled: only the last completion of a task in a batch can
//! move it.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::Corrupt;
use super::ledger::{HistoryRow, Ledger};
use super::step_row::StepRow;
use super::task_row::Tasks;
use crate::orchestration::state::{FailurePolicy, StepState, TaskState};
use crate::orchestration::store::{
    Completion, CompletionOutcome, HistoryKind, StepOutcome, settle,
};

/// A completion that is recorded.
pub(crate) struct Recorded<'a> {
    /// Its place among all completions.
    place: usize,
    pub(crate) completion: &'a Completion,
    pub(crate) step: StepRow,
    pub(crate) to: StepState,
    pub(crate) due_at: Option<i64>,
    pub(crate) error: Option<String>,
    pub(crate) newly_ready: u32,
    /// Whether its task started nothing more before it.
    stopped: bool,
    /// Whether its task starts nothing more after it.
    stops: bool,
}

impl<'a> Recorded<'a> {
    pub(crate) fn result(&self) -> Option<&'a str> {
        match &self.completion.outcome {
            StepOutcome::Success { result_json } => Some(result_json),
            StepOutcome::Failure { .. } => None,
        }
    }
}

/// A child of completed steps as it was read: how many of its parents are done by them, and which of the
/// recorded completions was the last of these.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Child {
    pub(crate) task_id: i64,
    pub(crate) index: i64,
    pub(crate) unmet: i64,
    pub(crate) state: StepState,
    pub(crate) done: i64,
    pub(crate) last: usize,
}

/// What follows from a batch of completions, before it is written.
pub(crate) struct Judgement<'a> {
    pub(crate) recorded: Vec<Recorded<'a>>,
    /// The answers; of those recorded, not before [`answer`](Self::answer).
    outcomes: Vec<CompletionOutcome>,
    /// Of each task, the completion recorded last.
    last: BTreeMap<i64, usize>,
    /// The states of the tasks before.
    before: BTreeMap<i64, TaskState>,
    /// A row of history for each completion of a step that there is, in their order.
    rows: Vec<HistoryRow>,
    stale: Vec<Stale>,
}

/// A completion that is refused.
struct Stale {
    /// Its place among all completions.
    place: usize,
    /// Its place among the rows of history.
    row: usize,
    step: StepRow,
}

impl<'a> Judgement<'a> {
    /// Judges completions by the steps they concern, as they stand at `now` (`None`: there is no such step).
    pub(crate) fn new(
        now: i64,
        completions: &[&'a Completion],
        steps: &[Option<StepRow>],
        tasks: &Tasks,
    ) -> Self {
        let mut judgement = Self {
            recorded: Vec::with_capacity(completions.len()),
            outcomes: Vec::with_capacity(completions.len()),
            last: BTreeMap::new(),
            before: tasks.iter().map(|(id, task)| (*id, task.state)).collect(),
            rows: Vec::with_capacity(completions.len()),
            stale: Vec::new(),
        };
        // Where the steps of this batch have gone by its earlier completions.
        let mut gone: HashMap<(i64, u32), StepState> = HashMap::new();
        // The tasks that start nothing more by now.
        let mut stopped: HashSet<i64> = tasks
            .iter()
            .filter(|(_, task)| task.stops())
            .map(|(id, _)| *id)
            .collect();
        // Those of them that were stopped by this batch: what had not started is cancelled from there on.
        let mut stopped_here: HashSet<i64> = HashSet::new();
        for (place, (&completion, step)) in completions.iter().zip(steps).enumerate() {
            judgement.outcomes.push(CompletionOutcome::NotFound);
            let Some(mut step) = *step else { continue };
            if let Some(to) = gone.get(&(step.task_id, step.index)) {
                step.state = *to;
            }
            if stopped_here.contains(&step.task_id) && settle::starts_later(step.state) {
                step.state = StepState::Cancelled;
            }
            let mut row = HistoryRow {
                task_id: step.task_id,
                run: tasks.get(&step.task_id).map_or(0, |task| task.run),
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
                let before = stopped.contains(&step.task_id);
                let mut one = outcome_of(now, place, completion, step, before);
                let fails_fast = tasks
                    .get(&step.task_id)
                    .is_some_and(|task| task.policy == FailurePolicy::FailFast);
                if one.to == StepState::Failed && fails_fast {
                    stopped.insert(step.task_id);
                    stopped_here.insert(step.task_id);
                    one.stops = true;
                }
                gone.insert((step.task_id, step.index), one.to);
                row.to = Some(one.to.as_str());
                row.detail = one
                    .error
                    .clone()
                    .or_else(|| Some(settle::elapsed_detail(completion.elapsed)));
                judgement
                    .last
                    .insert(step.task_id, judgement.recorded.len());
                judgement.recorded.push(one);
            } else {
                row.kind = HistoryKind::Stale;
                row.attempt = None;
                row.from = None;
                judgement.stale.push(Stale {
                    place,
                    row: judgement.rows.len(),
                    step,
                });
            }
            judgement.rows.push(row);
        }
        judgement
    }

    /// The steps whose children have one dependency less, with their places among the recorded.
    pub(crate) fn satisfied(&self) -> impl Iterator<Item = (usize, &StepRow)> {
        self.recorded
            .iter()
            .enumerate()
            .filter(|(_, one)| one.to.satisfies_dependents())
            .map(|(place, one)| (place, &one.step))
    }

    /// Counts the steps and their children in the states they go to, and notes the attempts and the stale
    /// completions. Returns the states of the children. What was only looked at, for a stale completion, is taken
    /// out of `tasks`: it is neither settled nor written.
    pub(crate) fn recount(
        &mut self,
        ledger: &mut Ledger,
        tasks: &mut Tasks,
        children: &[Child],
    ) -> Vec<StepState> {
        tasks.retain(|id, _| self.last.contains_key(id));
        for one in &self.recorded {
            if let Some(task) = tasks.get_mut(&one.step.task_id) {
                settle::recount(&mut task.counts, StepState::Running, one.to);
            }
        }
        let mut states = Vec::with_capacity(children.len());
        for child in children {
            let met = child.unmet == child.done && child.state == StepState::Pending;
            // The last of its parents is the one that readied it, unless the task had stopped by then.
            let parent = self.recorded.get_mut(child.last);
            let to = match parent.filter(|_| met) {
                Some(parent) if parent.stopped => StepState::Cancelled,
                Some(parent) => {
                    parent.newly_ready += 1;
                    StepState::Ready
                }
                None => child.state,
            };
            if let Some(task) = tasks.get_mut(&child.task_id) {
                settle::recount(&mut task.counts, child.state, to);
            }
            if to != child.state {
                self.refuse_after(child, to);
            }
            states.push(to);
        }
        for stale in &self.stale {
            let (step_state, epoch) = (stale.step.state, stale.step.epoch);
            self.rows[stale.row].detail = Some(settle::stale_detail(step_state, epoch));
            self.outcomes[stale.place] = CompletionOutcome::Stale { step_state, epoch };
        }
        ledger.rows.append(&mut self.rows);
        states
    }

    /// Stale completions of a child that come after its last parent's find it where that has brought it (unless
    /// the task has stopped between them).
    fn refuse_after(&mut self, child: &Child, to: StepState) {
        let readied = self.recorded[child.last].place;
        for stale in &mut self.stale {
            let step = &mut stale.step;
            if stale.place > readied
                && (step.task_id, i64::from(step.index)) == (child.task_id, child.index)
                && step.state == child.state
            {
                step.state = to;
            }
        }
    }

    /// The process that moves a task: that of the last completion.
    pub(crate) fn process_of(&self, task_id: i64) -> Uuid {
        self.last
            .get(&task_id)
            .map_or(Uuid::nil(), |last| self.recorded[*last].completion.process)
    }

    /// One answer for each completion, now that the tasks stand where they go; `ended` has those that came to
    /// their end by it.
    pub(crate) fn answer(
        mut self,
        tasks: &Tasks,
        ended: &BTreeMap<i64, TaskState>,
    ) -> Result<Vec<CompletionOutcome>, Corrupt> {
        for (number, one) in self.recorded.iter().enumerate() {
            let id = one.step.task_id;
            let is_last = self.last.get(&id) == Some(&number);
            let state = if is_last {
                tasks.get(&id).map(|task| task.state)
            } else {
                self.before.get(&id).copied()
            };
            self.outcomes[one.place] = CompletionOutcome::Recorded {
                step_state: one.to,
                task_state: state.ok_or_else(|| Corrupt(format!("task number {id} is missing")))?,
                newly_ready: one.newly_ready,
                finalised: is_last && ended.contains_key(&id),
                stops: one.stops,
            };
        }
        Ok(self.outcomes)
    }
}

fn outcome_of(
    now: i64,
    place: usize,
    completion: &Completion,
    step: StepRow,
    stopped: bool,
) -> Recorded<'_> {
    let (to, due_at, error) = match &completion.outcome {
        StepOutcome::Success { .. } => (StepState::Complete, None, None),
        StepOutcome::Failure { failure, retry_in } => {
            let error = Some(settle::failure_text(failure));
            let again = retry_in.is_some() && step.attempts < step.max_attempts;
            let to = settle::after_failure(again, stopped);
            let due_at = retry_in
                .filter(|_| to == StepState::RetryWait)
                .map(|delay| now + settle::millis(delay));
            (to, due_at, error)
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
        stopped,
        stops: stopped,
    }
}
