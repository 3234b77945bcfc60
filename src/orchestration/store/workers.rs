//! Who can run what: decides which tasks are blocked.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::TemplateSelector;

/// What the live processes can run: for any task, for those of some templates, or for one task alone.
#[derive(Debug, Default)]
pub(super) struct Workers {
    anywhere: HashSet<String>,
    some: Vec<(Vec<TemplateSelector>, HashSet<String>)>,
    alone: HashMap<Uuid, HashSet<String>>,
}

/// What decides which processes serve a task.
#[derive(Debug, Clone, Copy)]
pub(super) struct TaskPlace<'a> {
    pub(super) uuid: Uuid,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) version: &'a str,
}

impl Workers {
    /// Adds a live process.
    pub(super) fn add(
        &mut self,
        callables: impl IntoIterator<Item = String>,
        only_task: Option<Uuid>,
        serves: &[TemplateSelector],
    ) {
        match only_task {
            Some(task) => self.alone.entry(task).or_default().extend(callables),
            None if serves.is_empty() => self.anywhere.extend(callables),
            None => self
                .some
                .push((serves.to_vec(), callables.into_iter().collect())),
        }
    }

    /// Whether some process runs this handler for every task.
    pub(super) fn run_anywhere(&self, callable: &str) -> bool {
        self.anywhere.contains(callable)
    }

    /// Whether some process runs this handler for this task.
    pub(super) fn can_run(&self, task: &TaskPlace<'_>, callable: &str) -> bool {
        self.run_anywhere(callable)
            || self
                .alone
                .get(&task.uuid)
                .is_some_and(|callables| callables.contains(callable))
            || self.some.iter().any(|(serves, callables)| {
                callables.contains(callable)
                    && TemplateSelector::any(serves, task.namespace, task.name, task.version)
            })
    }
}
