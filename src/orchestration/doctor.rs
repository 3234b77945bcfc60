//! What is wrong with a database, and what an operator may want to know of it.

use serde::Serialize;

use super::state::TaskState;
use super::store::{DeadLetterFilter, Store, StoreError, TaskFilter};

/// A process that has been silent for longer than this has lost its leases, with time to spare for whoever
/// takes them back.
const SILENT_MS: u64 = 60_000;

/// What an examination found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// What must not be: rows that contradict each other, tasks that nothing will move on.
    pub problems: Vec<String>,
    /// What waits for people, or for a process to come.
    pub remarks: Vec<String>,
}

impl Diagnosis {
    /// Whether there is no problem.
    pub fn is_healthy(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Proves that no unfinished task is without an owner (a ready step, a live lease, a due time, or a state that
/// says what it waits for), that counters and rows agree, and that every task came to an end once. Safe at any
/// time: it only reads.
///
/// # Errors
///
/// [`StoreError`] if the database cannot be read.
///
/// # Cancel safety
///
/// Cancel safe: it only reads.
pub async fn examine(store: &dyn Store) -> Result<Diagnosis, StoreError> {
    let mut diagnosis = Diagnosis {
        problems: store.audit().await?,
        remarks: Vec::new(),
    };
    let processes = store.processes().await?;
    for process in &processes {
        if process.leases > 0 && process.silent_ms > SILENT_MS {
            diagnosis.problems.push(format!(
                "process {} has been silent for {} s and holds {} leases that nobody takes back: start a worker",
                process.registration.process,
                process.silent_ms / 1_000,
                process.leases
            ));
        }
    }
    let unfinished = TaskFilter {
        states: TaskState::ALL
            .iter()
            .copied()
            .filter(|state| !state.is_terminal())
            .collect(),
        ..TaskFilter::default()
    };
    let unfinished = store.tasks(unfinished).await?;
    let live = processes.iter().any(|process| {
        process.silent_ms <= SILENT_MS && !process.registration.callables.is_empty()
    });
    if !live && unfinished.iter().any(|task| task.state.is_claimable()) {
        diagnosis
            .remarks
            .push("there are unfinished tasks, and no live process runs steps".to_owned());
    }
    for task in &unfinished {
        if matches!(task.state, TaskState::Blocked | TaskState::Paused) {
            let reason = task.reason.as_deref().unwrap_or("no reason was given");
            let (uuid, state) = (task.task_uuid, task.state);
            diagnosis
                .remarks
                .push(format!("task {uuid} is {state}: {reason}"));
        }
    }
    let filter = DeadLetterFilter::default();
    let limit = filter.limit as usize;
    let letters = store.dead_letters(filter).await?.len();
    if letters > 0 {
        let many = if letters == limit { " or more" } else { "" };
        diagnosis
            .remarks
            .push(format!("{letters}{many} failed steps wait for an operator"));
    }
    Ok(diagnosis)
}
