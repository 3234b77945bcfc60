//! What a claim may bring: steps that are ready as written, and those of this transaction that are not written yet.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::readied::Readied;
use super::unit::{Unit, count};
use crate::orchestration::state::StepState;
use crate::orchestration::store::{ClaimRequest, TemplateSelector};

/// A step that can be claimed.
pub(super) struct Runnable {
    pub(super) priority: i64,
    pub(super) task_id: i64,
    pub(super) index: i64,
    pub(super) as_written: AsWritten,
}

/// What the database has of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AsWritten {
    /// It is there in this state.
    Stored(StepState),
    /// It waits for so many of its parents that are done.
    Readied(i64),
    /// Nothing yet: the place of its task among the new ones.
    Fresh(usize),
}

impl Unit<'_> {
    /// The first of those that were found and those that are kept, as many as the claim may bring. From then on kept
    /// children are the claim's.
    pub(super) fn first_runnable(
        &mut self,
        request: &ClaimRequest,
        mut found: Vec<Runnable>,
    ) -> Vec<Runnable> {
        let stored = found.len();
        let is_wanted = |step: &Readied| {
            request.callables.contains(&step.callable) && self.is_claimable(step.task_id, request)
        };
        found.extend(
            self.readied
                .iter()
                .filter(|step| is_wanted(step))
                .map(|step| Runnable {
                    priority: step.priority,
                    task_id: step.task_id,
                    index: step.index,
                    as_written: AsWritten::Readied(step.done),
                }),
        );
        for (place, fresh) in self.fresh.iter().enumerate() {
            let task = fresh.task;
            if fresh.later.is_some()
                || !TemplateSelector::any(
                    &request.serves,
                    &task.namespace,
                    &task.name,
                    &task.version,
                )
                || !self.is_claimable(fresh.id, request)
            {
                continue;
            }
            for (index, step) in task.steps.iter().enumerate() {
                if step.parents.is_empty()
                    && !fresh.started.contains_key(&index)
                    && request.callables.contains(&step.callable)
                {
                    found.push(Runnable {
                        priority: i64::from(task.priority),
                        task_id: fresh.id,
                        index: count(index),
                        as_written: AsWritten::Fresh(place),
                    });
                }
            }
        }
        if found.len() > stored {
            found.sort_by_key(|step| (Reverse(step.priority), step.task_id, step.index));
            found.truncate(usize::try_from(request.limit).unwrap_or(usize::MAX));
            let taken: HashSet<(i64, i64)> = found
                .iter()
                .filter(|step| matches!(step.as_written, AsWritten::Readied(_)))
                .map(|step| (step.task_id, step.index))
                .collect();
            self.readied
                .retain(|step| !taken.contains(&(step.task_id, step.index)));
        }
        found
    }

    /// Whether steps of a task that is kept may be claimed.
    fn is_claimable(&self, task_id: i64, request: &ClaimRequest) -> bool {
        self.known_task(task_id)
            .is_some_and(|task| task.state.is_claimable() && request.scope.includes(task.uuid))
    }
}
