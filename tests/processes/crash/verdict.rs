//! What must hold when the storm is over, read from the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use postroom::orchestration::state::{StepState, TaskState};
use postroom::orchestration::store::{HistoryKind, Store, TaskFilter};
use postroom::orchestration::{OrchestrationCore, doctor};
use uuid::Uuid;

/// What processes were told.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    pub(super) tasks: BTreeSet<Uuid>,
    /// Steps whose last outcome was recorded: task, position, and state with attempt.
    steps: BTreeMap<(Uuid, u32), (String, u32)>,
}

impl Acknowledged {
    /// Takes in a line that a process said.
    pub(super) fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["stored", task] => {
                self.tasks.insert(task.parse().unwrap());
            }
            ["recorded", task, index, state, attempt] => {
                let step = (task.parse().unwrap(), index.parse().unwrap());
                let outcome = (state.to_owned(), attempt.parse().unwrap());
                let before = self.steps.insert(step, outcome);
                assert_eq!(before, None, "{line}: acknowledged twice");
            }
            // What the test harness says.
            _ => {}
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) tasks: usize,
    by_state: BTreeMap<String, u32>,
    attempts: u32,
    pub(super) lost: u32,
    stale: u32,
    recorded: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended: Vec<String> = self
            .by_state
            .iter()
            .map(|(state, many)| format!("{many} {state}"))
            .collect();
        writeln!(
            f,
            "tasks                        {} ({})",
            self.tasks,
            ended.join(", ")
        )?;
        writeln!(f, "attempts                     {}", self.attempts)?;
        writeln!(f, "outcomes acknowledged        {}", self.recorded)?;
        writeln!(f, "leases lost                  {}", self.lost)?;
        writeln!(f, "stale results refused        {}", self.stale)
    }
}

/// Waits until every task has ended.
pub(super) async fn wait_for_all(core: &OrchestrationCore, store: &dyn Store) {
    /// Only to say what is stuck, rather than to wait for ever.
    const FOR_EVER: Duration = Duration::from_mins(10);
    let waiting = async {
        for task in all(store).await {
            let task = core.task(task).await.unwrap().expect("it was there");
            task.wait().await.unwrap();
        }
    };
    if tokio::time::timeout(FOR_EVER, waiting).await.is_err() {
        let diagnosis = doctor::examine(store).await.unwrap();
        panic!("tasks do not end: {diagnosis:#?}");
    }
}

async fn all(store: &dyn Store) -> Vec<Uuid> {
    let filter = TaskFilter {
        limit: u32::MAX,
        ..TaskFilter::default()
    };
    let tasks = store.tasks(filter).await.unwrap();
    tasks.into_iter().map(|task| task.task_uuid).collect()
}

/// Every acknowledged task has ended, once; no result is there twice and none is a stale one; what was
/// acknowledged of steps is there; the doctor finds nothing.
pub(super) async fn pass(store: &dyn Store, acknowledged: &Acknowledged) -> Counts {
    let diagnosis = doctor::examine(store).await.unwrap();
    assert_eq!(diagnosis.problems, Vec::<String>::new());
    let tasks = all(store).await;
    let stored: BTreeSet<Uuid> = tasks.iter().copied().collect();
    let missing: Vec<_> = acknowledged.tasks.difference(&stored).collect();
    assert!(
        missing.is_empty(),
        "acknowledged and not there: {missing:?}"
    );
    let mut counts = Counts {
        tasks: tasks.len(),
        recorded: acknowledged.steps.len(),
        ..Counts::default()
    };
    for uuid in tasks {
        examine(store, uuid, acknowledged, &mut counts).await;
    }
    counts
}

async fn examine(store: &dyn Store, uuid: Uuid, acknowledged: &Acknowledged, counts: &mut Counts) {
    let task = store.task(uuid).await.unwrap().unwrap();
    assert!(task.state.is_terminal(), "{task:?}");
    *counts.by_state.entry(task.state.to_string()).or_default() += 1;
    let mut ends = 0;
    // The epochs whose outcome was recorded, of each step, and those that lost their lease.
    let (mut recorded, mut lost) = (BTreeSet::new(), BTreeSet::new());
    let mut completed = BTreeMap::new();
    for row in store.history(uuid).await.unwrap() {
        let claim = || (row.step.unwrap(), row.epoch.unwrap());
        let to = row.to.as_deref();
        match row.kind {
            HistoryKind::TaskState => {
                let ended = |state: &TaskState| state.is_terminal() && to == Some(state.as_str());
                ends += u32::from(TaskState::ALL.iter().any(ended));
            }
            HistoryKind::Attempt => {
                counts.attempts += 1;
                let (step, epoch) = claim();
                assert!(recorded.insert((step, epoch)), "{uuid} has two of {row:?}");
                if to == Some(StepState::Complete.as_str()) {
                    let before = completed.insert(step, epoch);
                    assert_eq!(before, None, "{uuid} was completed twice: {row:?}");
                }
            }
            HistoryKind::LeaseLost => {
                counts.lost += 1;
                lost.insert(claim());
            }
            HistoryKind::Stale => counts.stale += 1,
            HistoryKind::Operator => panic!("nobody operated: {row:?}"),
        }
    }
    assert_eq!(ends, 1, "{uuid} came to its end {ends} times");
    let stale: Vec<_> = recorded.intersection(&lost).collect();
    assert!(
        stale.is_empty(),
        "{uuid}: recorded after the lease was lost: {stale:?}"
    );
    for step in store.steps(uuid).await.unwrap() {
        let result = (step.state == StepState::Complete).then_some(step.epoch);
        assert_eq!(
            completed.get(&step.index),
            result.as_ref(),
            "{uuid} {step:?}"
        );
        // The result is that of the claim that was completed, and of no earlier one.
        let expected = result.map(|epoch| format!(r#"{{"epoch":{epoch}}}"#));
        assert_eq!(step.result_json, expected, "{uuid} {step:?}");
        assert!(step.attempts <= step.max_attempts, "{uuid} {step:?}");
        if let Some(told) = acknowledged.steps.get(&(uuid, step.index)) {
            let stored = (step.state.to_string(), step.attempts);
            assert_eq!(*told, stored, "{uuid} {step:?}");
        }
    }
}
