//! The rows and the two ways to change them: a step moves, a task moves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use uuid::Uuid;

use super::index::LiveSteps;
use crate::orchestration::state::{FailurePolicy, StepCounts, StepState, TaskState};
use crate::orchestration::store::{
    HistoryKind, HistoryRecord, ProcessRegistration, StepId, TaskDefinition, settle,
};

/// A step's place: the number of its task, which grows with the time it was submitted, and its position.
pub(super) type Key = (usize, usize);

#[derive(Debug)]
pub(super) struct Task {
    pub(super) uuid: Uuid,
    pub(super) content: [u8; 32],
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) definition: Arc<TaskDefinition>,
    pub(super) correlation_id: Uuid,
    pub(super) priority: i16,
    pub(super) policy: FailurePolicy,
    pub(super) identity: [u8; 32],
    pub(super) state: TaskState,
    pub(super) reason: Option<String>,
    pub(super) run: u32,
    pub(super) counts: StepCounts,
    pub(super) created_at: i64,
    pub(super) started_at: Option<i64>,
    pub(super) ended_at: Option<i64>,
    pub(super) steps: Vec<Step>,
    pub(super) history: Vec<HistoryRecord>,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) callable: Arc<str>,
    pub(super) parents: Vec<u32>,
    pub(super) children: Vec<usize>,
    pub(super) state: StepState,
    pub(super) unmet: u32,
    pub(super) attempts: u32,
    pub(super) max_attempts: u32,
    pub(super) lost_leases: u32,
    pub(super) epoch: u64,
    pub(super) owner: Option<Uuid>,
    pub(super) lease_until: Option<i64>,
    pub(super) due_at: Option<i64>,
    pub(super) started_at: Option<i64>,
    pub(super) ended_at: Option<i64>,
    pub(super) result: Option<String>,
    pub(super) error: Option<String>,
}

impl Step {
    /// Leaves `running` for another state.
    pub(super) fn end_attempt(&mut self, state: StepState, now: i64) {
        self.state = state;
        self.owner = None;
        self.lease_until = None;
        self.ended_at = Some(now);
    }
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) registration: ProcessRegistration,
    pub(super) heard_at: i64,
}

/// The tasks by their numbers, which are never used again.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    by_number: BTreeMap<usize, Task>,
    next: usize,
}

impl Tasks {
    /// The number that the next task will get.
    pub(super) fn next_number(&self) -> usize {
        self.next
    }

    pub(super) fn push(&mut self, task: Task) {
        self.by_number.insert(self.next, task);
        self.next += 1;
    }

    pub(super) fn remove(&mut self, number: usize) -> Option<Task> {
        self.by_number.remove(&number)
    }

    /// The oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Task> {
        self.by_number.values()
    }

    /// From this number on, the oldest first.
    pub(super) fn from(&self, number: usize) -> impl Iterator<Item = (usize, &Task)> {
        self.by_number
            .range(number..)
            .map(|(number, task)| (*number, task))
    }
}

/// Numbers come from the indexes, which know only tasks that are there.
impl Index<usize> for Tasks {
    type Output = Task;

    fn index(&self, number: usize) -> &Task {
        &self.by_number[&number]
    }
}

impl IndexMut<usize> for Tasks {
    fn index_mut(&mut self, number: usize) -> &mut Task {
        self.by_number
            .get_mut(&number)
            .expect("a task that an index knows")
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) tasks: Tasks,
    pub(super) by_uuid: HashMap<Uuid, usize>,
    pub(super) by_identity: HashMap<[u8; 32], usize>,
    pub(super) blocked: BTreeSet<usize>,
    pub(super) index: LiveSteps,
    pub(super) processes: BTreeMap<Uuid, Process>,
    started: Instant,
    started_at: i64,
}

impl State {
    pub(super) fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            tasks: Tasks::default(),
            by_uuid: HashMap::new(),
            by_identity: HashMap::new(),
            blocked: BTreeSet::new(),
            index: LiveSteps::default(),
            processes: BTreeMap::new(),
            started: Instant::now(),
            started_at: settle::millis(since_epoch.unwrap_or(Duration::ZERO)),
        }
    }

    #[cfg(test)]
    pub(super) fn set_clock(&mut self, now: i64) {
        self.started_at = now;
    }

    /// Milliseconds since 1970, as tokio's clock tells them.
    pub(super) fn now(&self) -> i64 {
        let passed = self.started.elapsed().as_millis();
        self.started_at + i64::try_from(passed).unwrap_or(i64::MAX / 2)
    }

    pub(super) fn key(&self, id: StepId) -> Option<Key> {
        let task = *self.by_uuid.get(&id.task_uuid)?;
        let index = id.index as usize;
        (index < self.tasks[task].steps.len()).then_some((task, index))
    }

    pub(super) fn id(&self, key: Key) -> StepId {
        StepId {
            task_uuid: self.tasks[key.0].uuid,
            index: u32::try_from(key.1).unwrap_or(u32::MAX),
        }
    }

    pub(super) fn step(&self, key: Key) -> &Step {
        &self.tasks[key.0].steps[key.1]
    }

    /// Changes a step and keeps counters and indexes true. Nothing else may change a step.
    pub(super) fn change(&mut self, key: Key, change: impl FnOnce(&mut Step)) {
        let task = &mut self.tasks[key.0];
        let step = &mut task.steps[key.1];
        self.index.remove(task.priority, key, step);
        let before = step.state;
        change(step);
        settle::recount(&mut task.counts, before, step.state);
        self.index.insert(task.priority, key, step);
    }

    /// Brings a task to another state, with its row of history; does nothing if it is there already.
    pub(super) fn move_task(
        &mut self,
        number: usize,
        to: TaskState,
        reason: Option<String>,
        process: Uuid,
        now: i64,
    ) -> bool {
        let task = &mut self.tasks[number];
        if task.state == to {
            return false;
        }
        task.history.push(HistoryRecord {
            at: now,
            run: task.run,
            kind: HistoryKind::TaskState,
            step: None,
            attempt: None,
            epoch: None,
            from: Some(task.state.to_string()),
            to: Some(to.to_string()),
            process: Some(process),
            detail: reason.clone(),
            result_json: None,
        });
        if to == TaskState::Blocked {
            self.blocked.insert(number);
        } else {
            self.blocked.remove(&number);
        }
        task.state = to;
        task.reason = reason;
        task.ended_at = to.is_terminal().then_some(now);
        true
    }

    /// In a task that fails fast, nothing more starts.
    fn cancel_rest(&mut self, number: usize) {
        let task = &self.tasks[number];
        if task.state.is_terminal() || !task.policy.stops(&task.counts) {
            return;
        }
        for index in 0..task.steps.len() {
            if settle::starts_later(self.tasks[number].steps[index].state) {
                self.change((number, index), |step| {
                    step.state = StepState::Cancelled;
                    step.due_at = None;
                });
            }
        }
    }

    /// Moves a task where its steps say; returns its new state if that is a final one and it was not.
    pub(super) fn settle(&mut self, number: usize, process: Uuid, now: i64) -> Option<TaskState> {
        self.cancel_rest(number);
        let task = &self.tasks[number];
        let to = settle::settled(task.state, &task.counts);
        let reason = (to == TaskState::Failed).then(|| {
            let first = task
                .steps
                .iter()
                .find(|step| step.state == StepState::Failed);
            first.map_or_else(String::new, |step| {
                settle::failed_reason(&step.name, step.error.as_deref())
            })
        });
        let moved = self.move_task(number, to, reason, process, now);
        (moved && to.is_terminal()).then_some(to)
    }
}
