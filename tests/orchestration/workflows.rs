//! Workflows end to end through the actors, on the in-memory store and on virtual time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postroom::orchestration::state::{StepState, TaskState};
use postroom::orchestration::store::memory::MemoryStore;
use postroom::orchestration::store::{Store, TaskFilter};
use postroom::orchestration::template::{RetryPolicy, TaskTemplate};
use postroom::orchestration::worker::{HandlerTable, StepContext, StepError, StepHandlers};
use postroom::orchestration::{
    ClaimMode, IdentityStrategy, OrchestrationCommand, OrchestrationConfig, OrchestrationCore,
    OrchestrationResponse, SubmitError, SubmitOptions, TaskError,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Tells when it is dropped.
struct OnDrop(Arc<Notify>);
impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// What the steps did, in order.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Vec<String>>>);

impl Ledger {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn position(&self, line: &str) -> usize {
        let lines = self.lines();
        lines
            .iter()
            .position(|noted| noted == line)
            .unwrap_or_else(|| panic!("{line:?} is not in {lines:?}"))
    }
}

fn diamond() -> Arc<TaskTemplate> {
    let mut template = TaskTemplate::builder("diamond").version("1.0.0");
    let top = template.step("top", "note").add();
    let left = template.step("left", "note").after([&top]).add();
    let right = template.step("right", "note").after([&top]).add();
    template.step("bottom", "note").after([&left, &right]);
    Arc::new(template.build().unwrap())
}

fn one_step(callable: &str, retry: RetryPolicy) -> Arc<TaskTemplate> {
    let mut template = TaskTemplate::builder("single").version("1.0.0");
    template.step("only", callable).retry(retry);
    Arc::new(template.build().unwrap())
}

fn attempts(max_attempts: u32) -> RetryPolicy {
    RetryPolicy {
        max_attempts,
        ..RetryPolicy::default()
    }
}

fn noting(ledger: &Ledger) -> HandlerTable {
    let ledger = ledger.clone();
    StepHandlers::new()
        .register("note", move |_: Value, step: StepContext| {
            let ledger = ledger.clone();
            async move {
                ledger.note(step.step_name());
                Ok::<_, StepError>(json!({ "from": step.step_name() }))
            }
        })
        .build()
        .unwrap()
}

async fn core(store: &MemoryStore, handlers: HandlerTable) -> OrchestrationCore {
    let store: Arc<dyn Store> = Arc::new(store.clone());
    OrchestrationCore::builder(store)
        .handlers(handlers)
        .config(OrchestrationConfig {
            concurrency: 4,
            ..OrchestrationConfig::default()
        })
        .start()
        .await
        .unwrap()
}

async fn end(core: OrchestrationCore, store: &MemoryStore) {
    assert_eq!(store.audit().await.unwrap(), Vec::<String>::new());
    let report = core.shutdown().await;
    assert!(report.is_balanced(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn o01_a_diamond_runs_each_step_once_parents_before_children() {
    let (store, ledger) = (MemoryStore::new(), Ledger::default());
    let core = core(&store, noting(&ledger)).await;
    let task = core.submit(&diamond(), json!({"n": 1})).await.unwrap();
    let record = task.wait().await.unwrap();
    assert_eq!(record.state, TaskState::Complete);
    assert_eq!((record.steps_total, record.steps_complete), (4, 4));
    assert_eq!(ledger.lines().len(), 4);
    assert!(ledger.position("top") < ledger.position("left"));
    assert!(ledger.position("right") < ledger.position("bottom"));
    assert!(ledger.position("left") < ledger.position("bottom"));
    end(core, &store).await;
}

#[tokio::test(start_paused = true)]
async fn results_of_the_parents_and_the_input_reach_a_step() {
    let store = MemoryStore::new();
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let handlers = StepHandlers::new()
        .register("double", |n: u64, _: StepContext| async move {
            Ok::<_, StepError>(n * 2)
        })
        .register("check", move |n: u64, step: StepContext| {
            let keep = Arc::clone(&keep);
            async move {
                let doubled: u64 = step.parent("double")?;
                let missing = step.parent::<u64>("nobody").is_err();
                *keep.lock().unwrap() = Some((n, doubled, missing, step.attempt(), step.epoch()));
                Ok::<_, StepError>(())
            }
        })
        .build()
        .unwrap();
    let mut template = TaskTemplate::builder("numbers").version("1.0.0");
    let double = template.step("double", "double").add();
    template.step("check", "check").after([&double]);
    let template = Arc::new(template.build().unwrap());
    let core = core(&store, handlers).await;
    let task = core.submit(&template, 21).await.unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    assert_eq!(*seen.lock().unwrap(), Some((21, 42, true, 1, 1)));
    end(core, &store).await;
}

#[tokio::test(start_paused = true)]
async fn o07_a_failing_step_is_retried_as_declared_then_the_task_fails() {
    let store = MemoryStore::new();
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let handlers = StepHandlers::new()
        .register("fail", move |_: Value, _: StepContext| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Err::<(), _>(StepError::retryable("no luck")) }
        })
        .build()
        .unwrap();
    let core = core(&store, handlers).await;
    let task = core
        .submit(&one_step("fail", attempts(3)), Value::Null)
        .await
        .unwrap();
    let record = task.wait().await.unwrap();
    assert_eq!(record.state, TaskState::Failed);
    let reason = record.reason.unwrap();
    assert!(
        reason.contains("only") && reason.contains("no luck"),
        "{reason}"
    );
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    let steps = store.steps(task.uuid()).await.unwrap();
    assert_eq!((steps[0].state, steps[0].attempts), (StepState::Failed, 3));
    end(core, &store).await;
}

#[tokio::test(start_paused = true)]
async fn o07_a_permanent_error_is_not_retried() {
    let store = MemoryStore::new();
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let handlers = StepHandlers::new()
        .register("fail", move |_: Value, _: StepContext| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Err::<(), _>(StepError::permanent("never")) }
        })
        .build()
        .unwrap();
    let core = core(&store, handlers).await;
    let task = core
        .submit(&one_step("fail", attempts(5)), Value::Null)
        .await
        .unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Failed);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    end(core, &store).await;
}

#[tokio::test(start_paused = true)]
async fn o08_independent_branches_go_on_and_a_failed_task_can_be_continued() {
    let (store, ledger) = (MemoryStore::new(), Ledger::default());
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (note, is_broken) = (ledger.clone(), Arc::clone(&broken));
    let handlers = StepHandlers::new()
        .register("note", move |_: Value, step: StepContext| {
            let (note, is_broken) = (note.clone(), Arc::clone(&is_broken));
            async move {
                if step.step_name() == "left" && is_broken.load(Ordering::Relaxed) {
                    return Err(StepError::permanent("broken"));
                }
                note.note(step.step_name());
                Ok(())
            }
        })
        .build()
        .unwrap();
    let core = core(&store, handlers).await;
    let task = core.submit(&diamond(), Value::Null).await.unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Failed);
    assert_eq!(ledger.lines(), ["top", "right"]);
    let bottom = &store.steps(task.uuid()).await.unwrap()[3];
    assert_eq!(
        bottom.state,
        StepState::Pending,
        "what is not reached stays pending"
    );

    broken.store(false, Ordering::Relaxed);
    task.retry().await.unwrap();
    let record = task.wait().await.unwrap();
    assert_eq!((record.state, record.run), (TaskState::Complete, 2));
    assert_eq!(
        ledger.lines(),
        ["top", "right", "left", "bottom"],
        "what was complete is kept"
    );
    end(core, &store).await;
}

#[tokio::test(start_paused = true)]
async fn o10_the_same_template_and_input_is_the_same_task() {
    let (store, ledger) = (MemoryStore::new(), Ledger::default());
    let core = core(&store, noting(&ledger)).await;
    let first = core
        .submit(&diamond(), json!({"a": 1, "b": 2}))
        .await
        .unwrap();
    assert_eq!(first.duplicate(), None);
    first.wait().await.unwrap();
    let again = core
        .submit(&diamond(), json!({"b": 2, "a": 1}))
        .await
        .unwrap();
    assert_eq!(again.uuid(), first.uuid());
    assert_eq!(again.duplicate(), Some(TaskState::Complete));
    assert_eq!(ledger.lines().len(), 4);

    let unique = SubmitOptions {
        identity: IdentityStrategy::Unique,
        ..SubmitOptions::default()
    };
    let anew = core
        .submit_with(&diamond(), json!({"a": 1, "b": 2}), unique)
        .await
        .unwrap();
    assert_ne!(anew.uuid(), first.uuid());
    anew.wait().await.unwrap();
    assert_eq!(ledger.lines().len(), 8);

    let keyed = || SubmitOptions {
        identity: IdentityStrategy::Caller("k".into()),
        ..SubmitOptions::default()
    };
    let one = core.submit_with(&diamond(), 1, keyed()).await.unwrap();
    let conflict = core.submit_with(&diamond(), 2, keyed()).await.unwrap_err();
    assert!(
        matches!(&conflict, SubmitError::KeyConflict { key, task_uuid } if key == "k" && *task_uuid == one.uuid()),
        "{conflict}"
    );
    one.wait().await.unwrap();
    end(core, &store).await;
}

#[tokio::test(start_paused = true)]
async fn o14_an_unknown_handler_is_refused_by_name_and_nothing_is_stored() {
    let store = MemoryStore::new();
    let core = core(&store, noting(&Ledger::default())).await;
    let template = one_step("nope", attempts(1));
    let error = core
        .submit(&template, Value::Null)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("nope") && error.contains("only"), "{error}");
    assert!(store.tasks(TaskFilter::default()).await.unwrap().is_empty());
    end(core, &store).await;
}

#[tokio::test(start_paused = true)]
async fn cancelling_interrupts_what_runs_and_starts_nothing_more() {
    let store = MemoryStore::new();
    let (started, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell_started, tell_dropped) = (Arc::clone(&started), Arc::clone(&dropped));
    let handlers = StepHandlers::new()
        .register("note", move |_: Value, _: StepContext| {
            let (started, dropped) = (Arc::clone(&tell_started), OnDrop(Arc::clone(&tell_dropped)));
            async move {
                started.notify_one();
                std::future::pending::<()>().await;
                drop(dropped);
                Ok::<_, StepError>(())
            }
        })
        .build()
        .unwrap();
    let core = core(&store, handlers).await;
    let task = core.submit(&diamond(), Value::Null).await.unwrap();
    started.notified().await;
    assert_eq!(
        task.cancel("changed my mind").await.unwrap(),
        TaskState::Cancelled
    );
    dropped.notified().await;
    let record = task.wait().await.unwrap();
    assert_eq!(record.state, TaskState::Cancelled);
    assert_eq!(record.reason.as_deref(), Some("changed my mind"));
    for step in store.steps(task.uuid()).await.unwrap() {
        assert_eq!(step.state, StepState::Cancelled, "{}", step.name);
    }
    assert!(matches!(
        task.cancel("again").await.unwrap_err(),
        TaskError::NotApplicable {
            state: TaskState::Cancelled,
            ..
        }
    ));
    end(core, &store).await;
}

#[tokio::test(start_paused = true)]
async fn o03_two_processes_on_one_store_run_each_step_once() {
    let (store, ledger) = (MemoryStore::new(), Ledger::default());
    let first = core(&store, noting(&ledger)).await;
    let second = core(&store, noting(&ledger)).await;
    let mut tasks = Vec::new();
    for n in 0..50 {
        tasks.push(first.submit(&diamond(), n).await.unwrap());
    }
    for task in tasks {
        assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    }
    assert_eq!(ledger.lines().len(), 200);
    assert_eq!(store.audit().await.unwrap(), Vec::<String>::new());
    assert!(first.shutdown().await.is_balanced());
    assert!(second.shutdown().await.is_balanced());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_while_claims_are_paused() {
    let (store, ledger) = (MemoryStore::new(), Ledger::default());
    let core = core(&store, noting(&ledger)).await;
    core.set_claims(ClaimMode::Paused).await.unwrap();
    let task = core.submit(&diamond(), Value::Null).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_mins(1), task.wait()).await;
    assert!(waited.is_err(), "nobody may have run it");
    core.set_claims(ClaimMode::Only(task.uuid())).await.unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    end(core, &store).await;
}

#[tokio::test(start_paused = true)]
async fn r16_an_orchestration_shut_down_under_load_accounts_for_every_message() {
    let (store, ledger) = (MemoryStore::new(), Ledger::default());
    let core = Arc::new(core(&store, noting(&ledger)).await);
    let submitters: Vec<_> = (0..64)
        .map(|n| {
            let core = Arc::clone(&core);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for round in 0.. {
                    match core.submit(&diamond(), n * 1_000_000 + round).await {
                        Ok(task) => acknowledged.push(task.uuid()),
                        Err(SubmitError::Unavailable { .. }) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                acknowledged
            })
        })
        .collect();
    // Enough to have every mailbox busy.
    while ledger.lines().len() < 100 {
        tokio::task::yield_now().await;
    }
    let report = core.shutdown().await;
    assert!(report.is_balanced(), "{report}");
    assert_eq!(report.registry.actors.len(), 10);
    let again = core.shutdown().await;
    assert!(
        Arc::ptr_eq(&report, &again),
        "every caller gets the same report"
    );
    let mut acknowledged = 0;
    for submitter in submitters {
        acknowledged += submitter.await.unwrap().len();
    }
    assert!(acknowledged > 0);
}

#[tokio::test(start_paused = true)]
async fn commands_reach_the_actors_by_their_routes() {
    let (store, ledger) = (MemoryStore::new(), Ledger::default());
    let core = core(&store, noting(&ledger)).await;
    let request = postroom::orchestration::TaskRequest {
        template: diamond(),
        input: Value::Null,
        options: SubmitOptions::default(),
    };
    let OrchestrationResponse::InitializeTask(receipt) = core
        .execute(OrchestrationCommand::InitializeTask(request))
        .await
        .unwrap()
    else {
        panic!("another command's answer");
    };
    let task = core.task(receipt.task_uuid).await.unwrap().unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    let OrchestrationResponse::GetProcessingStats(stats) = core
        .execute(OrchestrationCommand::GetProcessingStats)
        .await
        .unwrap()
    else {
        panic!("another command's answer");
    };
    assert_eq!(
        (stats.task_requests_processed, stats.step_results_processed),
        (1, 4)
    );
    let OrchestrationResponse::HealthCheck(health) = core
        .execute(OrchestrationCommand::HealthCheck)
        .await
        .unwrap()
    else {
        panic!("another command's answer");
    };
    assert!(health.is_healthy());
    let OrchestrationResponse::Shutdown(report) =
        core.execute(OrchestrationCommand::Shutdown).await.unwrap()
    else {
        panic!("another command's answer");
    };
    assert!(report.is_balanced(), "{report}");
    assert!(
        core.execute(OrchestrationCommand::EnqueueReadySteps)
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn o13_steps_that_do_not_end_at_shutdown_are_given_back() {
    let store = MemoryStore::new();
    let started = Arc::new(Notify::new());
    let tell = Arc::clone(&started);
    let handlers = StepHandlers::new()
        .register("hang", move |_: Value, _: StepContext| {
            tell.notify_one();
            std::future::pending::<Result<(), StepError>>()
        })
        .build()
        .unwrap();
    let core = core(&store, handlers).await;
    let task = core
        .submit(&one_step("hang", attempts(1)), Value::Null)
        .await
        .unwrap();
    started.notified().await;
    let report = core.shutdown().await;
    assert!(report.is_balanced(), "{report}");
    let step = &store.steps(task.uuid()).await.unwrap()[0];
    assert_eq!(
        (step.state, step.attempts, step.owner),
        (StepState::Ready, 0, None)
    );
}
