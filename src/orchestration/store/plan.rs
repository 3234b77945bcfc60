//! What an operation does to a task, worked out from its rows. Pure code: a backend reads the rows under its
//! lock, asks here, and writes what comes out, so that two backends cannot come to differ in it.

use std::collections::BTreeMap;

use super::settle::{failed_reason, settled};
use super::{OperationKind, OperationOutcome};
use crate::orchestration::state::{
    Evaluation, FailurePolicy, StepCounts, StepEvent, StepState, TaskEvent, TaskState,
};

/// A task as it is before an operation.
#[derive(Debug, Clone)]
pub(super) struct Operated {
    pub(super) state: TaskState,
    pub(super) policy: FailurePolicy,
    /// The counters as they are stored.
    pub(super) counts: StepCounts,
    /// All its steps, by position.
    pub(super) steps: Vec<OperatedStep>,
}

/// A step as it is before an operation.
#[derive(Debug, Clone)]
pub(super) struct OperatedStep {
    pub(super) name: String,
    pub(super) state: StepState,
    pub(super) unmet: u32,
    pub(super) parents: Vec<u32>,
    pub(super) error: Option<String>,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The steps that change, by position.
    pub(super) steps: Vec<StepChange>,
    /// The counters as they are to be stored.
    pub(super) counts: StepCounts,
    /// Whether the run number rises, before the task moves.
    pub(super) new_run: bool,
    /// Where the task goes, with the reason: each a row of history.
    pub(super) moves: Vec<(TaskState, Option<String>)>,
    /// The reason to be shown, if the task stays where it is and another one holds now.
    pub(super) reason: Option<String>,
}

/// How a step changes. No step has a lease or a due time after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepChange {
    pub(super) index: u32,
    pub(super) from: StepState,
    pub(super) to: StepState,
    pub(super) unmet: u32,
    /// An operator acts on the step itself: its epoch rises.
    pub(super) touched: bool,
    /// Its result from now on; every other change takes away the one that it had.
    pub(super) result: Option<String>,
    /// The word for its row of history, if it gets one.
    pub(super) note: Option<String>,
}

impl StepChange {
    /// Whether its attempts and lost leases are counted anew.
    pub(super) fn is_reset(&self) -> bool {
        self.touched && matches!(self.to, StepState::Ready | StepState::Pending)
    }

    /// Whether its last error no longer says anything.
    pub(super) fn clears_error(&self) -> bool {
        self.is_reset() || self.to == StepState::Complete
    }

    /// Whether it ends now: what had not begun has no end.
    pub(super) fn ends_now(&self) -> bool {
        self.from == StepState::Running
            || matches!(self.to, StepState::Complete | StepState::ResolvedManually)
    }
}

/// What the operation does, or why it does nothing.
pub(super) fn plan(task: Operated, kind: &OperationKind) -> Result<Plan, OperationOutcome> {
    let mut work = Work::new(task);
    match kind {
        OperationKind::Finalise => work.settle(),
        OperationKind::Cancel { reason } => work.end(TaskEvent::Cancel, reason)?,
        OperationKind::Resolve { reason } => work.end(TaskEvent::ResolveManually, reason)?,
        OperationKind::Pause { reason } => work.apply(TaskEvent::Pause, Some(reason.clone()))?,
        OperationKind::Resume => {
            work.apply(TaskEvent::Resume, None)?;
            work.settle();
        }
        OperationKind::Retry => {
            work.apply_anew(TaskEvent::Retry)?;
            work.reset_all(|state| matches!(state, StepState::Failed | StepState::Cancelled));
            work.settle();
        }
        OperationKind::ResolveStep { step, reason } => {
            work.satisfy(*step, StepEvent::ResolveManually, reason.clone(), None)?;
        }
        OperationKind::CompleteStep { step, result_json } => {
            let note = "completed by hand".to_owned();
            let result = Some(result_json.clone());
            work.satisfy(*step, StepEvent::CompleteManually, note, result)?;
        }
        OperationKind::Rerun { from } => work.rerun(*from)?,
    }
    work.finish()
}

/// A plan while it is being made.
struct Work {
    before: Operated,
    state: TaskState,
    /// As they are by now.
    states: Vec<StepState>,
    unmet: Vec<u32>,
    changes: BTreeMap<usize, StepChange>,
    new_run: bool,
    moves: Vec<(TaskState, Option<String>)>,
    reason: Option<String>,
}

impl Work {
    fn new(before: Operated) -> Self {
        Self {
            state: before.state,
            states: before.steps.iter().map(|step| step.state).collect(),
            unmet: before.steps.iter().map(|step| step.unmet).collect(),
            before,
            changes: BTreeMap::new(),
            new_run: false,
            moves: Vec::new(),
            reason: None,
        }
    }

    fn counts(&self) -> StepCounts {
        self.states.iter().copied().collect()
    }

    fn refusal(&self) -> OperationOutcome {
        OperationOutcome::NotApplicable {
            state: self.before.state,
        }
    }

    /// Moves the task by an event.
    fn apply(&mut self, event: TaskEvent, reason: Option<String>) -> Result<(), OperationOutcome> {
        let to = self.state.next(event).map_err(|_| self.refusal())?;
        self.go(to, reason);
        Ok(())
    }

    /// Moves the task by an event that begins another run.
    fn apply_anew(&mut self, event: TaskEvent) -> Result<(), OperationOutcome> {
        self.apply(event, None)?;
        self.new_run = true;
        Ok(())
    }

    fn go(&mut self, to: TaskState, reason: Option<String>) {
        if to != self.state {
            self.state = to;
            self.moves.push((to, reason));
        }
    }

    fn change(&mut self, index: usize, to: StepState, touched: bool) -> &mut StepChange {
        self.states[index] = to;
        let (from, unmet) = (self.before.steps[index].state, self.unmet[index]);
        let change = self.changes.entry(index).or_insert(StepChange {
            index: position(index),
            from,
            to,
            unmet,
            touched,
            result: None,
            note: None,
        });
        change.to = to;
        change.unmet = unmet;
        change.touched |= touched;
        change
    }

    /// Ends the task, and with it every step that has not ended.
    fn end(&mut self, event: TaskEvent, reason: &str) -> Result<(), OperationOutcome> {
        self.apply(event, Some(reason.to_owned()))?;
        for index in 0..self.states.len() {
            if !self.states[index].is_terminal() {
                self.change(index, StepState::Cancelled, true);
            }
        }
        Ok(())
    }

    /// Has a step run again, when its dependencies are met.
    fn reset(&mut self, index: usize) {
        let from = self.states[index];
        let to = if self.unmet[index] == 0 {
            StepState::Ready
        } else {
            StepState::Pending
        };
        // What never ran leaves nothing to be told of.
        let told = !matches!(
            from,
            StepState::Pending | StepState::Ready | StepState::Cancelled
        );
        let error = self.before.steps[index].error.clone();
        let change = self.change(index, to, true);
        if told {
            change.note = Some(error.unwrap_or_else(|| "reset".to_owned()));
        }
    }

    fn reset_all(&mut self, which: impl Fn(StepState) -> bool) {
        for index in 0..self.states.len() {
            if which(self.states[index]) {
                self.reset(index);
            }
        }
    }

    /// Makes a step satisfy its dependents, and has the task go on if that was what held it.
    fn satisfy(
        &mut self,
        step: u32,
        event: StepEvent,
        note: String,
        result: Option<String>,
    ) -> Result<(), OperationOutcome> {
        let index = self.index(step)?;
        if self.state.is_terminal() && self.state != TaskState::Failed {
            return Err(self.refusal());
        }
        let state = self.states[index];
        let to = state
            .next(event)
            .map_err(|_| OperationOutcome::StepNotApplicable { state })?;
        let change = self.change(index, to, true);
        change.note = Some(note);
        change.result = result;
        for child in 0..self.states.len() {
            if self.before.steps[child].parents.contains(&step) {
                self.unmet[child] = self.unmet[child].saturating_sub(1);
                let met = self.unmet[child] == 0 && self.states[child] == StepState::Pending;
                let to = if met {
                    StepState::Ready
                } else {
                    self.states[child]
                };
                self.change(child, to, false);
            }
        }
        self.go_on()
    }

    /// Continues after a failure was put right, unless another one still holds the task.
    fn go_on(&mut self) -> Result<(), OperationOutcome> {
        let counts = self.counts();
        let held = self.before.policy.stops(&counts);
        if self.state == TaskState::Failed {
            if held || counts.evaluate() == Evaluation::Failed {
                self.reason = self.failure();
                return Ok(());
            }
            self.apply_anew(TaskEvent::Retry)?;
        }
        if !held {
            // What was cancelled for a failure that is no more.
            self.reset_all(|state| state == StepState::Cancelled);
        }
        self.settle();
        Ok(())
    }

    fn rerun(&mut self, from: u32) -> Result<(), OperationOutcome> {
        let from = self.index(from)?;
        let below = self.with_descendants(from);
        let leased = |index: &usize| below[*index] && self.states[*index] == StepState::Running;
        if let Some(index) = (0..below.len()).find(leased) {
            return Err(OperationOutcome::Busy {
                step: position(index),
            });
        }
        if self.state.is_terminal() {
            self.apply(TaskEvent::Rerun, None)?;
        }
        self.new_run = true;
        let fails_fast = self.before.policy == FailurePolicy::FailFast;
        let again: Vec<usize> = (0..below.len())
            .filter(|&index| {
                let state = self.states[index];
                below[index]
                    || state == StepState::Cancelled
                    || (fails_fast && state == StepState::Failed)
            })
            .collect();
        for index in 0..below.len() {
            let satisfied = |parent: &&u32| {
                let parent = **parent as usize;
                !below[parent] && self.states[parent].satisfies_dependents()
            };
            if below[index] {
                let parents = &self.before.steps[index].parents;
                self.unmet[index] =
                    position(parents.len() - parents.iter().filter(satisfied).count());
            }
        }
        for index in again {
            self.reset(index);
        }
        self.settle();
        Ok(())
    }

    /// Which steps are the one at this position, or depend on it.
    fn with_descendants(&self, from: usize) -> Vec<bool> {
        let mut children = vec![Vec::new(); self.states.len()];
        for (index, step) in self.before.steps.iter().enumerate() {
            for &parent in &step.parents {
                children[parent as usize].push(index);
            }
        }
        let mut below = vec![false; self.states.len()];
        let mut rest = vec![from];
        while let Some(index) = rest.pop() {
            if !std::mem::replace(&mut below[index], true) {
                rest.extend(&children[index]);
            }
        }
        below
    }

    /// Moves the task where its steps say; one that fails fast starts nothing more.
    fn settle(&mut self) {
        if !self.state.is_terminal() && self.before.policy.stops(&self.counts()) {
            for index in 0..self.states.len() {
                if super::settle::starts_later(self.states[index]) {
                    self.change(index, StepState::Cancelled, false);
                }
            }
        }
        let to = settled(self.state, &self.counts());
        let reason = (to == TaskState::Failed).then(|| self.failure()).flatten();
        self.go(to, reason);
    }

    /// The words on the first failed step in template order.
    fn failure(&self) -> Option<String> {
        let first = self
            .states
            .iter()
            .position(|state| *state == StepState::Failed)?;
        let step = &self.before.steps[first];
        Some(failed_reason(&step.name, step.error.as_deref()))
    }

    fn index(&self, step: u32) -> Result<usize, OperationOutcome> {
        let index = step as usize;
        if index < self.states.len() {
            Ok(index)
        } else {
            Err(OperationOutcome::NoSuchStep)
        }
    }

    fn finish(self) -> Result<Plan, OperationOutcome> {
        let counts = self.counts();
        let nothing = self.changes.is_empty() && self.moves.is_empty() && !self.new_run;
        if nothing && counts == self.before.counts {
            return Err(self.refusal());
        }
        Ok(Plan {
            steps: self.changes.into_values().collect(),
            counts,
            new_run: self.new_run,
            moves: self.moves,
            reason: self.reason,
        })
    }
}

fn position(index: usize) -> u32 {
    // A task has far fewer steps than this.
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
