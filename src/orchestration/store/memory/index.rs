//! Where the live steps are, so that nothing has to look through the finished ones.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::state::{Key, Step};
use crate::orchestration::state::StepState;

/// The order of claims: priority, then age of the task, then position.
pub(super) type Turn = (Reverse<i16>, Key);

/// The live steps, by what they wait for.
#[derive(Debug, Default)]
pub(super) struct LiveSteps {
    ready: HashMap<Arc<str>, BTreeSet<Turn>>,
    retry_wait: HashMap<Arc<str>, BTreeSet<(i64, Turn)>>,
    leases: BTreeSet<(i64, Key)>,
    owners: HashMap<Uuid, BTreeSet<Key>>,
}

impl LiveSteps {
    pub(super) fn insert(&mut self, priority: i16, key: Key, step: &Step) {
        let turn = (Reverse(priority), key);
        match step.state {
            StepState::Ready => {
                self.ready
                    .entry(Arc::clone(&step.callable))
                    .or_default()
                    .insert(turn);
            }
            StepState::RetryWait => {
                let due = step.due_at.unwrap_or_default();
                self.retry_wait
                    .entry(Arc::clone(&step.callable))
                    .or_default()
                    .insert((due, turn));
            }
            StepState::Running => {
                self.leases
                    .insert((step.lease_until.unwrap_or_default(), key));
                if let Some(owner) = step.owner {
                    self.owners.entry(owner).or_default().insert(key);
                }
            }
            _ => {}
        }
    }

    pub(super) fn remove(&mut self, priority: i16, key: Key, step: &Step) {
        let turn = (Reverse(priority), key);
        match step.state {
            StepState::Ready => {
                if let Some(turns) = self.ready.get_mut(&step.callable) {
                    turns.remove(&turn);
                    if turns.is_empty() {
                        self.ready.remove(&step.callable);
                    }
                }
            }
            StepState::RetryWait => {
                if let Some(turns) = self.retry_wait.get_mut(&step.callable) {
                    turns.remove(&(step.due_at.unwrap_or_default(), turn));
                    if turns.is_empty() {
                        self.retry_wait.remove(&step.callable);
                    }
                }
            }
            StepState::Running => {
                self.leases
                    .remove(&(step.lease_until.unwrap_or_default(), key));
                if let Some(owner) = step.owner
                    && let Some(held) = self.owners.get_mut(&owner)
                {
                    held.remove(&key);
                    if held.is_empty() {
                        self.owners.remove(&owner);
                    }
                }
            }
            _ => {}
        }
    }

    /// The ready steps of a handler, in the order of claims.
    pub(super) fn ready(&self, callable: &str) -> impl Iterator<Item = Turn> + '_ {
        self.ready.get(callable).into_iter().flatten().copied()
    }

    /// The steps of a handler that wait for a retry, the earliest first.
    pub(super) fn retry_wait(&self, callable: &str) -> impl Iterator<Item = (i64, Turn)> + '_ {
        self.retry_wait.get(callable).into_iter().flatten().copied()
    }

    /// The handlers that a live step waits for.
    pub(super) fn callables(&self) -> BTreeSet<Arc<str>> {
        self.ready
            .keys()
            .chain(self.retry_wait.keys())
            .map(Arc::clone)
            .collect()
    }

    /// The ready steps of all handlers, in no order.
    pub(super) fn all_ready(&self) -> impl Iterator<Item = Key> + '_ {
        self.ready.values().flatten().map(|(_, key)| *key)
    }

    /// How many steps wait for a retry.
    pub(super) fn all_waiting(&self) -> usize {
        self.retry_wait.values().map(BTreeSet::len).sum()
    }

    /// How many steps run.
    pub(super) fn running(&self) -> usize {
        self.leases.len()
    }

    /// The steps whose lease has run out by `now`.
    pub(super) fn expired(&self, now: i64) -> impl Iterator<Item = Key> + '_ {
        self.leases
            .iter()
            .take_while(move |(until, _)| *until <= now)
            .map(|(_, key)| *key)
    }

    /// The steps that a process holds leases on.
    pub(super) fn held_by(&self, process: Uuid) -> impl Iterator<Item = Key> + '_ {
        self.owners.get(&process).into_iter().flatten().copied()
    }
}
