//! Who can run what: decides which tasks are blocked.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

/// What the live processes can run, for any task or for one task alone.
#[derive(Debug, Default)]
pub(super) struct Workers {
    anywhere: HashSet<String>,
    alone: HashMap<Uuid, HashSet<String>>,
}

impl Workers {
    /// Adds a live process.
    pub(super) fn add(
        &mut self,
        callables: impl IntoIterator<Item = String>,
        only_task: Option<Uuid>,
    ) {
        match only_task {
            Some(task) => self.alone.entry(task).or_default().extend(callables),
            None => self.anywhere.extend(callables),
        }
    }

    /// Whether some process runs this handler for every task.
    pub(super) fn run_anywhere(&self, callable: &str) -> bool {
        self.anywhere.contains(callable)
    }

    /// Whether some process runs this handler for this task.
    pub(super) fn can_run(&self, task: Uuid, callable: &str) -> bool {
        self.run_anywhere(callable)
            || self
                .alone
                .get(&task)
                .is_some_and(|callables| callables.contains(callable))
    }
}
