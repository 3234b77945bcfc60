//! What a claim may bring: steps that are ready as written, and those of this transaction that are not written yet.

use std::cmp::Reverse;

use super::readied::Readied;
use super::unit::{Unit, count};
use crate::orchestration::state::StepState;
use crate::orchestration::store::{ClaimRequest, TemplateSelector};

/// A step that can be claimed.
pub(super) struct Runnable<'w> {
    pub(super) priority: i64,
    pub(super) task_id: i64,
    pub(super) index: i64,
    pub(super) as_written: AsWritten<'w>,
}

/// What the database has of it.
pub(super) enum AsWritten<'w> {
    /// It is there, ready or to be tried again.
    Stored(Stored),
    /// It waits for parents that are done.
    Readied(Readied<'w>),
    /// Nothing yet: the place of its task among the new ones.
    Fresh(usize),
}

/// A step that is written as it can be claimed.
pub(super) struct Stored {
    pub(super) state: StepState,
    pub(super) has_parents: bool,
    pub(super) step: Claimable,
}

/// What a claim brings of a step, as it was before.
pub(super) struct Claimable {
    pub(super) name: String,
    pub(super) callable: String,
    pub(super) epoch: i64,
    pub(super) attempts: i64,
    pub(super) max_attempts: i64,
}

impl Runnable<'_> {
    /// Higher priorities first, then older tasks, then the order of the template.
    pub(super) fn order(&self) -> (Reverse<i64>, i64, i64) {
        (Reverse(self.priority), self.task_id, self.index)
    }

    /// Whether it has parents whose results are not at hand.
    pub(super) fn has_results_to_read(&self) -> bool {
        match &self.as_written {
            AsWritten::Stored(stored) => stored.has_parents,
            AsWritten::Readied(readied) => readied.results.is_none(),
            AsWritten::Fresh(_) => false,
        }
    }
}

impl<'w> Unit<'w> {
    /// Takes out what is kept and may be claimed, in order.
    pub(super) fn take_runnable(&mut self, request: &ClaimRequest) -> Vec<Runnable<'w>> {
        let (wanted, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.readied)
            .into_iter()
            .partition(|readied| {
                request.callables.contains(&readied.step.callable)
                    && self.is_claimable(readied.task_id, request)
            });
        self.readied = left;
        let mut runnable: Vec<Runnable<'w>> = wanted
            .into_iter()
            .map(|readied| Runnable {
                priority: readied.priority,
                task_id: readied.task_id,
                index: readied.index,
                as_written: AsWritten::Readied(readied),
            })
            .collect();
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
                    runnable.push(Runnable {
                        priority: i64::from(task.priority),
                        task_id: fresh.id,
                        index: count(index),
                        as_written: AsWritten::Fresh(place),
                    });
                }
            }
        }
        runnable.sort_by_key(Runnable::order);
        runnable
    }

    /// Keeps what was taken out and is not claimed.
    pub(super) fn put_back(&mut self, left: Vec<Runnable<'w>>) {
        self.readied
            .extend(left.into_iter().filter_map(|step| match step.as_written {
                AsWritten::Readied(readied) => Some(readied),
                AsWritten::Stored(_) | AsWritten::Fresh(_) => None,
            }));
    }

    /// Whether steps of a task that is kept may be claimed.
    fn is_claimable(&self, task_id: i64, request: &ClaimRequest) -> bool {
        self.known_task(task_id)
            .is_some_and(|task| task.state.is_claimable() && request.scope.includes(task.uuid))
    }
}
