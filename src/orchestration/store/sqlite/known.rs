//! What the writer knows of live rows: it has written them itself, and nobody else has written since.
//!
//! A step's outcome mostly comes to the writer that claimed it, so that task and step need not be read again. The
//! database stays the truth: what is known is taken for as long as `SQLite` says that no other connection has
//! committed anything (`data_version`), and is forgotten with every transaction that fails and every intent that
//! changes rows in another way.

use std::collections::HashMap;

use crate::orchestration::store::StepId;
use crate::orchestration::store::sql::step_row::StepRow;
use crate::orchestration::store::sql::task_row::TaskRow;

#[derive(Debug, Default)]
pub(super) struct Known {
    /// Of what others have committed, this much was seen.
    version: Option<i64>,
    tasks: HashMap<i64, TaskRow>,
    steps: HashMap<StepId, StepRow>,
}

impl Known {
    /// Tasks, and steps, at most. Beyond it everything is forgotten: it comes back with what is at hand.
    const MOST: usize = 16_384;

    /// Forgets everything if others have changed something since.
    pub(super) fn as_of(&mut self, version: i64) {
        if self.version != Some(version) {
            self.clear();
            self.version = Some(version);
        }
    }

    pub(super) fn clear(&mut self) {
        self.tasks.clear();
        self.steps.clear();
    }

    pub(super) fn task(&self, id: i64) -> Option<&TaskRow> {
        self.tasks.get(&id)
    }

    /// A task as it was written. One that has ended is not needed any more.
    pub(super) fn wrote_task(&mut self, mut task: TaskRow) {
        if task.state.is_terminal() {
            self.tasks.remove(&task.id);
            return;
        }
        if self.tasks.len() >= Self::MOST {
            self.tasks.clear();
        }
        task.owner = None;
        self.tasks.insert(task.id, task);
    }

    /// A new task, whose steps may start much later: it drives out none of those at hand.
    pub(super) fn new_task(&mut self, task: TaskRow) {
        if self.tasks.len() < Self::MOST / 2 {
            self.tasks.insert(task.id, task);
        }
    }

    pub(super) fn step(&self, id: StepId) -> Option<StepRow> {
        self.steps.get(&id).copied()
    }

    /// A step that was claimed.
    pub(super) fn claimed(&mut self, id: StepId, step: StepRow) {
        if self.steps.len() >= Self::MOST {
            self.steps.clear();
        }
        self.steps.insert(id, step);
    }

    /// A step that has been written in another way since it was claimed.
    pub(super) fn forget_step(&mut self, id: StepId) {
        self.steps.remove(&id);
    }
}
