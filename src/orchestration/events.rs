//! What a process can tell others in it as it happens: a stream of events, and the end of tasks.
//!
//! Both are hints. They carry what this process did itself, after the commit; work done by other processes is
//! seen by reading the store.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{broadcast, oneshot};
use uuid::Uuid;

use super::state::{StepState, TaskState};

/// Something that this process did to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrchestrationEvent {
    /// A claimed step starts to run.
    StepStarted {
        /// The task.
        task_uuid: Uuid,
        /// The step's position in the template.
        index: u32,
        /// The step's name.
        name: String,
        /// 1 for the first attempt.
        attempt: u32,
    },
    /// A step's outcome is recorded, for good.
    StepFinished {
        /// The task.
        task_uuid: Uuid,
        /// The step's position in the template.
        index: u32,
        /// The step's name.
        name: String,
        /// Complete or failed.
        state: StepState,
        /// The attempt that decided it.
        attempt: u32,
        /// How long the handler ran.
        elapsed: Duration,
        /// Why it failed, if it did.
        error: Option<String>,
    },
    /// An attempt failed and the step will be tried again.
    StepRetrying {
        /// The task.
        task_uuid: Uuid,
        /// The step's position in the template.
        index: u32,
        /// The step's name.
        name: String,
        /// The attempt that failed.
        attempt: u32,
        /// When it is tried again.
        delay: Duration,
        /// Why it failed.
        error: String,
    },
    /// A task reached a final state.
    TaskFinished {
        /// The task.
        task_uuid: Uuid,
        /// Its final state.
        state: TaskState,
    },
}

/// Hands events to whoever listens, and wakes those who wait for a task's end.
#[derive(Debug)]
pub(crate) struct Announcer {
    events: broadcast::Sender<OrchestrationEvent>,
    waiting: Mutex<HashMap<Uuid, Vec<oneshot::Sender<()>>>>,
}

impl Announcer {
    /// A listener that falls this many events behind is told so and goes on with the newest.
    const BUFFER: usize = 4_096;

    pub(crate) fn new() -> Self {
        Self {
            events: broadcast::Sender::new(Self::BUFFER),
            waiting: Mutex::default(),
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<OrchestrationEvent> {
        self.events.subscribe()
    }

    /// Builds the event only if somebody listens.
    pub(crate) fn announce(&self, event: impl FnOnce() -> OrchestrationEvent) {
        if self.events.receiver_count() > 0 {
            // The only error is that the last listener has just gone.
            let _ = self.events.send(event());
        }
    }

    pub(crate) fn task_finished(&self, task_uuid: Uuid, state: TaskState) {
        let waiting = self.lock().remove(&task_uuid);
        for waiter in waiting.into_iter().flatten() {
            // A waiter that has gone away needs no waking.
            let _ = waiter.send(());
        }
        self.announce(|| OrchestrationEvent::TaskFinished { task_uuid, state });
    }

    /// Resolves when this process finishes the task. Register before reading the task's state, so that an end
    /// between the two is not missed.
    pub(crate) fn finished(&self, task_uuid: Uuid) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        let waiters = waiting.entry(task_uuid).or_default();
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(sender);
        receiver
    }

    /// Wakes all who wait for a task's end: another process may have brought it.
    pub(crate) fn look_again(&self) {
        let waiting = std::mem::take(&mut *self.lock());
        for waiter in waiting.into_values().flatten() {
            // A waiter that has gone away needs no waking.
            let _ = waiter.send(());
        }
    }

    /// Forgets waiters of this task that have gone away.
    pub(crate) fn forget_gone(&self, task_uuid: Uuid) {
        let mut waiting = self.lock();
        if let Some(waiters) = waiting.get_mut(&task_uuid) {
            waiters.retain(|waiter| !waiter.is_closed());
            if waiters.is_empty() {
                waiting.remove(&task_uuid);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Vec<oneshot::Sender<()>>>> {
        // Nothing inside the critical sections can leave the map half changed.
        self.waiting
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_waiter_is_woken_and_nothing_is_kept() {
        let announcer = Announcer::new();
        let task = Uuid::from_u128(1);
        let (first, second) = (announcer.finished(task), announcer.finished(task));
        announcer.task_finished(task, TaskState::Complete);
        first.await.unwrap();
        second.await.unwrap();
        assert!(announcer.lock().is_empty());
    }

    #[test]
    fn waiters_that_went_away_are_forgotten() {
        let announcer = Announcer::new();
        let task = Uuid::from_u128(1);
        drop(announcer.finished(task));
        announcer.forget_gone(task);
        assert!(announcer.lock().is_empty());
    }
}
