//! Too much at once, and a database that is away: what callers are told, and that nothing is lost or done twice.
//! In-memory store, virtual time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::unreliable::{Fault, Unreliable};
use postroom::orchestration::state::TaskState;
use postroom::orchestration::store::memory::MemoryStore;
use postroom::orchestration::store::{BreakerState, HistoryKind, Store, StoreError};
use postroom::orchestration::template::TaskTemplate;
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use postroom::orchestration::{
    ClaimMode, OrchestrationConfig, OrchestrationCore, SubmitError, SubmitOptions, TaskError,
};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// How often each step ran.
type Runs = Arc<Mutex<HashMap<(Uuid, String), u32>>>;

fn chain() -> Arc<TaskTemplate> {
    let mut template = TaskTemplate::builder("chain");
    let first = template.step("first", "work").add();
    let second = template.step("second", "work").after([&first]).add();
    template.step("third", "work").after([&second]);
    Arc::new(template.build().unwrap())
}

async fn core_on(
    store: &Arc<Unreliable>,
    config: OrchestrationConfig,
) -> (Arc<OrchestrationCore>, Runs) {
    let runs = Runs::default();
    let counting = Arc::clone(&runs);
    let handlers = StepHandlers::new().register("work", move |_: Value, step: StepContext| {
        let key = (step.task_uuid(), step.step_name().to_owned());
        *counting.lock().unwrap().entry(key).or_default() += 1;
        async {
            sleep(Duration::from_secs(2)).await;
            Ok::<_, StepError>(())
        }
    });
    let core = OrchestrationCore::builder(Arc::clone(store) as Arc<dyn Store>)
        .handlers(handlers.build().unwrap())
        .config(config)
        .start()
        .await
        .unwrap();
    (Arc::new(core), runs)
}

fn config() -> OrchestrationConfig {
    OrchestrationConfig {
        concurrency: 4,
        ..OrchestrationConfig::default()
    }
}

fn store() -> (MemoryStore, Arc<Unreliable>) {
    let store = MemoryStore::new();
    let unreliable = Arc::new(Unreliable::new(&store, Fault::None));
    (store, unreliable)
}

async fn end(core: &OrchestrationCore, store: &MemoryStore) {
    assert_eq!(store.audit().await.unwrap(), Vec::<String>::new());
    let report = core.shutdown().await;
    assert!(report.is_balanced(), "{report}");
}

/// An outage shorter than the lease: steps that ran meanwhile are recorded when it is over, each ran once.
#[tokio::test(start_paused = true)]
async fn o13_an_outage_loses_no_work_and_does_none_twice() {
    let (store, unreliable) = store();
    let (core, runs) = core_on(&unreliable, config()).await;
    let mut tasks = Vec::new();
    for number in 0..12 {
        tasks.push(core.submit(&chain(), number).await.unwrap());
    }
    for _ in 0..3 {
        sleep(Duration::from_millis(2_500)).await;
        unreliable.set(Fault::Away);
        sleep(Duration::from_secs(20)).await;
        assert_ne!(core.context().breaker().state, BreakerState::Closed);
        unreliable.set(Fault::None);
    }
    while core.context().breaker().state != BreakerState::Closed {
        sleep(Duration::from_millis(100)).await;
    }
    for task in &tasks {
        assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    }
    assert_eq!(core.context().breaker().state, BreakerState::Closed);
    assert_eq!(core.context().breaker().opened, 3);
    let runs = runs.lock().unwrap().clone();
    assert_eq!(runs.len(), 36);
    assert!(runs.values().all(|times| *times == 1), "{runs:?}");
    for task in &tasks {
        for row in store.history(task.uuid()).await.unwrap() {
            assert!(
                !matches!(row.kind, HistoryKind::Stale | HistoryKind::LeaseLost),
                "{row:?}"
            );
        }
    }
    end(&core, &store).await;
}

/// An outage longer than the lease: what was interrupted runs again, and nothing is recorded twice.
#[tokio::test(start_paused = true)]
async fn o13_an_outage_longer_than_the_lease_records_nothing_twice() {
    let (store, unreliable) = store();
    let (core, _) = core_on(&unreliable, config()).await;
    let mut tasks = Vec::new();
    for number in 0..6 {
        tasks.push(core.submit(&chain(), number).await.unwrap());
    }
    sleep(Duration::from_secs(1)).await;
    unreliable.set(Fault::Away);
    sleep(Duration::from_mins(3)).await;
    unreliable.set(Fault::None);
    for task in &tasks {
        assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
        let mut recorded: HashMap<u32, u32> = HashMap::new();
        for row in store.history(task.uuid()).await.unwrap() {
            if row.kind == HistoryKind::Attempt {
                *recorded.entry(row.step.unwrap()).or_default() += 1;
            }
        }
        assert_eq!(recorded.len(), 3);
        assert!(recorded.values().all(|times| *times == 1), "{recorded:?}");
    }
    end(&core, &store).await;
}

/// While it is open nobody waits and the database is asked by one caller at a time; what was refused was not done.
#[tokio::test(start_paused = true)]
async fn o13_while_the_breaker_is_open_callers_are_told_at_once() {
    let (store, unreliable) = store();
    let (core, _) = core_on(&unreliable, config()).await;
    let known = core.submit(&chain(), 0).await.unwrap();
    unreliable.set(Fault::Away);
    while core.context().breaker().state != BreakerState::Open {
        sleep(Duration::from_millis(10)).await;
    }
    let (before, began) = (unreliable.calls(), Instant::now());
    for number in 1..50 {
        let error = core.submit(&chain(), number).await.unwrap_err();
        let after = error.retry_after().expect("when to come back");
        assert!(after <= Duration::from_secs(1), "{error}");
        let SubmitError::Store(cause) = error else {
            panic!("{error}")
        };
        assert!(matches!(*cause, StoreError::CircuitOpen { .. }), "{cause}");
    }
    let status = known.status().await.unwrap_err();
    assert!(
        matches!(&status, TaskError::Store(cause) if cause.retry_after().is_some()),
        "{status}"
    );
    assert!(core.health().await.database.is_err());
    assert_eq!(
        (unreliable.calls(), began.elapsed()),
        (before, Duration::ZERO)
    );

    // A minute of it costs the database a call each second, and not one for each caller.
    sleep(Duration::from_mins(1)).await;
    let calls = unreliable.calls() - before;
    assert!((30..=61).contains(&calls), "{calls}");

    unreliable.set(Fault::None);
    sleep(Duration::from_secs(2)).await;
    let task = core.submit(&chain(), 1).await.unwrap();
    assert_eq!(task.duplicate(), None);
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    assert_eq!(store.tasks(<_>::default()).await.unwrap().len(), 2);
    known.wait().await.unwrap();
    end(&core, &store).await;
}

/// However often callers ask for what cannot be done.
#[tokio::test(start_paused = true)]
async fn o13_the_faults_of_callers_leave_the_breaker_closed() {
    let (store, unreliable) = store();
    let (core, _) = core_on(&unreliable, config()).await;
    let task = core.submit(&chain(), 0).await.unwrap();
    for number in 1..20 {
        let taken = SubmitOptions {
            task_uuid: Some(task.uuid()),
            ..SubmitOptions::default()
        };
        let refused = core.submit_with(&chain(), number, taken).await;
        assert!(matches!(refused, Err(SubmitError::Store(_))), "{refused:?}");
        task.rerun_from("no such step").await.unwrap_err();
    }
    assert_eq!(core.context().breaker().failures, 0);
    task.wait().await.unwrap();
    end(&core, &store).await;
}

/// More is submitted than can be stored: whoever finds no room in time is refused, told when to come back, and not
/// stored; all others are.
#[tokio::test(start_paused = true)]
async fn o13_a_submission_that_finds_no_room_is_refused_with_when_to_come_back() {
    let (store, unreliable) = store();
    let patience = Duration::from_secs(3);
    let (core, _) = core_on(
        &unreliable,
        OrchestrationConfig {
            mailbox_capacity: 4,
            submit_patience: patience,
            ..config()
        },
    )
    .await;
    core.set_claims(ClaimMode::Paused).await.unwrap();
    unreliable.set(Fault::Stuck);
    let mut submitting = JoinSet::new();
    for number in 0..100 {
        let core = Arc::clone(&core);
        submitting.spawn(async move { core.submit(&chain(), number).await });
    }
    let began = Instant::now();
    let mut refused = 0;
    while let Ok(Some(answer)) = timeout(Duration::from_secs(10), submitting.join_next()).await {
        let error = answer.unwrap().unwrap_err();
        assert_eq!(began.elapsed(), patience);
        assert_eq!(error.retry_after(), Some(patience));
        assert!(
            matches!(error, SubmitError::Overloaded { waiting: 4, .. }),
            "{error}"
        );
        refused += 1;
    }
    // In two mailboxes, and in the hands of the two actors.
    assert!((80..100).contains(&refused), "{refused}");
    unreliable.set(Fault::None);
    let mut stored = 0;
    while let Some(answer) = submitting.join_next().await {
        answer.unwrap().unwrap();
        stored += 1;
    }
    assert_eq!(stored + refused, 100);
    assert_eq!(store.tasks(<_>::default()).await.unwrap().len(), stored);
    end(&core, &store).await;
}
