//! Operators, failing fast, hints of handlers, and submitting many, through the actors. In-memory store, virtual
//! time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use postroom::orchestration::state::{FailurePolicy, StepState, TaskState};
use postroom::orchestration::store::memory::MemoryStore;
use postroom::orchestration::store::{HistoryKind, Store, TaskFilter};
use postroom::orchestration::template::TaskTemplate;
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use postroom::orchestration::{
    IdentityStrategy, OperatorIntent, OrchestrationConfig, OrchestrationCore, SubmitError,
    SubmitOptions, TaskError, TaskRequest,
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

async fn core(store: &MemoryStore, handlers: StepHandlers) -> OrchestrationCore {
    core_with(store, handlers, OrchestrationConfig::default()).await
}

async fn core_with(
    store: &MemoryStore,
    handlers: StepHandlers,
    config: OrchestrationConfig,
) -> OrchestrationCore {
    let config = OrchestrationConfig {
        concurrency: 4,
        ..config
    };
    OrchestrationCore::builder(Arc::new(store.clone()))
        .handlers(handlers.build().unwrap())
        .config(config)
        .start()
        .await
        .unwrap()
}

async fn end(store: &MemoryStore, cores: Vec<OrchestrationCore>) {
    assert_eq!(store.audit().await.unwrap(), Vec::<String>::new());
    for core in cores {
        assert!(core.shutdown().await.is_balanced());
    }
}

/// Waits until the test lets it go, or until it is told to stop.
fn waiting(go: &Arc<Notify>, stopped: &Arc<AtomicU32>) -> StepHandlers {
    let (go, stopped) = (Arc::clone(go), Arc::clone(stopped));
    StepHandlers::new()
        .register("wait", move |_: Value, step: StepContext| {
            let (go, stopped) = (Arc::clone(&go), Arc::clone(&stopped));
            async move {
                tokio::select! {
                    () = go.notified() => Ok(step.epoch()),
                    () = step.cancellation().cancelled() => {
                        stopped.fetch_add(1, Ordering::Relaxed);
                        Err(StepError::retryable("told to stop"))
                    }
                }
            }
        })
        .register("fail", |_: Value, _: StepContext| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Err::<(), _>(StepError::permanent("no way"))
        })
        .register("work", |_: Value, step: StepContext| async move {
            Ok::<_, StepError>(step.epoch())
        })
}

fn failing_fast() -> Arc<TaskTemplate> {
    let mut template = TaskTemplate::builder("fast").failure_policy(FailurePolicy::FailFast);
    let waits = template.step("waits", "wait").add();
    template.step("fails", "fail");
    template.step("after", "work").after([&waits]);
    Arc::new(template.build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn o08_a_task_that_fails_fast_stops_its_steps_in_this_process_at_once() {
    let store = MemoryStore::new();
    let (go, stopped) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let core = core(&store, waiting(&go, &stopped)).await;
    let started = Instant::now();
    let task = core.submit(&failing_fast(), ()).await.unwrap();
    let record = task.wait().await.unwrap();
    assert_eq!(record.state, TaskState::Failed);
    assert!(record.reason.unwrap().contains("step fails failed"));
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(stopped.load(Ordering::Relaxed), 1);
    let states: Vec<_> = store.steps(task.uuid()).await.unwrap();
    let states: Vec<_> = states.iter().map(|step| step.state).collect();
    let cancelled = StepState::Cancelled;
    assert_eq!(states, [cancelled, StepState::Failed, cancelled]);
    end(&store, vec![core]).await;
}

#[tokio::test(start_paused = true)]
async fn o08_another_process_learns_of_it_from_its_heartbeat() {
    let store = MemoryStore::new();
    let (go, stopped) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let waits = core(&store, waiting(&go, &stopped)).await;
    let template = {
        let mut template = TaskTemplate::builder("fast").failure_policy(FailurePolicy::FailFast);
        template.step("waits", "wait");
        template.step("fails", "elsewhere");
        Arc::new(template.build().unwrap())
    };
    let elsewhere = StepHandlers::new()
        .register("wait", |_: Value, _: StepContext| async {
            Ok::<_, StepError>(())
        })
        .register("elsewhere", |_: Value, _: StepContext| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Err::<(), _>(StepError::permanent("no way"))
        });
    let idle = OrchestrationConfig {
        concurrency: 1,
        ..OrchestrationConfig::default()
    };
    let fails = core_with(&store, elsewhere, idle).await;
    fails
        .set_claims(postroom::orchestration::ClaimMode::Paused)
        .await
        .unwrap();
    let task = fails.submit(&template, ()).await.unwrap();
    while store.steps(task.uuid()).await.unwrap()[0].state != StepState::Running {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fails
        .set_claims(postroom::orchestration::ClaimMode::Any)
        .await
        .unwrap();
    let started = Instant::now();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Failed);
    let beat = OrchestrationConfig::default().heartbeat;
    assert!(
        started.elapsed() < beat + Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(stopped.load(Ordering::Relaxed), 1);
    end(&store, vec![waits, fails]).await;
}

#[tokio::test(start_paused = true)]
async fn o08_a_task_is_paused_resumed_completed_by_hand_and_rerun_through_its_handle() {
    let store = MemoryStore::new();
    let (go, stopped) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let core = core(&store, waiting(&go, &stopped)).await;
    let mut template = TaskTemplate::builder("chain");
    let first = template.step("first", "wait").add();
    template.step("second", "work").after([&first]);
    let task = core
        .submit(&Arc::new(template.build().unwrap()), ())
        .await
        .unwrap();
    while core.running_steps() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(task.pause("not now").await.unwrap(), TaskState::Paused);
    let busy = task.rerun_from("first").await.unwrap_err();
    assert!(
        matches!(busy, TaskError::Busy { ref step, .. } if step == "first"),
        "{busy}"
    );
    let complete = |result| OperatorIntent::CompleteStep {
        step: "first".into(),
        result,
    };
    let large = json!("x".repeat(2 << 20));
    let refused = task.operate(complete(large)).await.unwrap_err();
    assert!(
        matches!(refused, TaskError::ResultTooLarge { .. }),
        "{refused}"
    );
    assert_eq!(
        task.operate(complete(json!(7))).await.unwrap(),
        TaskState::Paused
    );
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(
        stopped.load(Ordering::Relaxed),
        1,
        "its lease was taken away"
    );
    assert_eq!(task.status().await.unwrap().state, TaskState::Paused);
    task.resume().await.unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);

    let nothing = task.rerun_from("third").await.unwrap_err();
    assert!(matches!(nothing, TaskError::NoSuchStep { .. }), "{nothing}");
    assert_eq!(task.rerun_from("first").await.unwrap(), TaskState::Pending);
    go.notify_one();
    let record = task.wait().await.unwrap();
    assert_eq!((record.state, record.run), (TaskState::Complete, 2));
    let history = store.history(task.uuid()).await.unwrap();
    let kept: Vec<_> = history
        .iter()
        .filter(|row| row.kind == HistoryKind::Operator)
        .filter_map(|row| row.result_json.as_deref())
        .collect();
    assert_eq!(kept, ["7", "1"]);
    end(&store, vec![core]).await;
}

#[tokio::test(start_paused = true)]
async fn o07_a_handler_says_when_it_wants_to_be_tried_again() {
    let store = MemoryStore::new();
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let handlers = StepHandlers::new().register("busy", move |_: Value, _: StepContext| {
        let call = count.fetch_add(1, Ordering::Relaxed);
        async move {
            let busy = StepError::retryable("429");
            match call {
                // Longer than any backoff of the template, and longer than any lease.
                0 => Err(busy.with_retry_after(Duration::from_mins(10))),
                1 => Err(busy.with_retry_after(Duration::ZERO)),
                _ => Ok(()),
            }
        }
    });
    let core = core(&store, handlers).await;
    let mut template = TaskTemplate::builder("single");
    template.step("only", "busy");
    let started = Instant::now();
    let task = core
        .submit(&Arc::new(template.build().unwrap()), ())
        .await
        .unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    let took = started.elapsed();
    let hint = Duration::from_mins(10);
    assert!(
        took >= hint && took < hint + Duration::from_secs(2),
        "{took:?}"
    );
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    end(&store, vec![core]).await;
}

#[tokio::test(start_paused = true)]
async fn o07_a_hint_makes_a_permanent_error_no_less_permanent() {
    let store = MemoryStore::new();
    let handlers = StepHandlers::new().register("gone", |_: Value, _: StepContext| async {
        let gone = StepError::permanent("410").with_retry_after(Duration::from_secs(1));
        Err::<(), _>(gone)
    });
    let core = core(&store, handlers).await;
    let mut template = TaskTemplate::builder("single");
    template.step("only", "gone");
    let task = core
        .submit(&Arc::new(template.build().unwrap()), ())
        .await
        .unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Failed);
    assert_eq!(store.steps(task.uuid()).await.unwrap()[0].attempts, 1);
    end(&store, vec![core]).await;
}

fn request(template: &Arc<TaskTemplate>, input: Value, options: SubmitOptions) -> TaskRequest {
    TaskRequest {
        template: Arc::clone(template),
        input,
        options,
    }
}

#[tokio::test(start_paused = true)]
async fn o10_many_are_submitted_at_once_and_each_gets_its_answer() {
    let store = MemoryStore::new();
    let (go, stopped) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let core = core(&store, waiting(&go, &stopped)).await;
    let single = |callable: &str| {
        let mut template = TaskTemplate::builder("single");
        template.step("only", callable);
        Arc::new(template.build().unwrap())
    };
    let (work, unknown) = (single("work"), single("unknown"));
    let mut requests: Vec<_> = (0..600)
        .map(|number| request(&work, json!(number % 500), SubmitOptions::default()))
        .collect();
    requests[3] = request(&unknown, Value::Null, SubmitOptions::default());
    let answers = core.submit_many(requests).await;
    assert_eq!(answers.len(), 600);
    assert!(
        matches!(answers[3], Err(SubmitError::Template(_))),
        "{:?}",
        answers[3]
    );
    // Number 503 is the first to bring what was refused at place 3.
    let duplicates = answers
        .iter()
        .flatten()
        .filter(|it| it.duplicate().is_some());
    assert_eq!(duplicates.count(), 99);
    for task in answers.iter().flatten() {
        assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    }
    assert!(core.submit_many([]).await.is_empty());
    end(&store, vec![core]).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_for_later_runs_at_its_moment() {
    let store = MemoryStore::new();
    let (go, stopped) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let core = core(&store, waiting(&go, &stopped)).await;
    let mut template = TaskTemplate::builder("single");
    template.step("only", "work");
    let options = SubmitOptions {
        run_at: Some(SystemTime::now() + Duration::from_hours(1)),
        ..SubmitOptions::default()
    };
    let started = Instant::now();
    let template = Arc::new(template.build().unwrap());
    let task = core.submit_with(&template, (), options).await.unwrap();
    assert_eq!(task.status().await.unwrap().state, TaskState::Waiting);
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    let took = started.elapsed();
    let due = Duration::from_hours(1);
    assert!(
        took + Duration::from_mins(1) > due && took < due + Duration::from_mins(1),
        "{took:?}"
    );
    end(&store, vec![core]).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_with_a_retention_deletes_what_is_old() {
    let store = MemoryStore::new();
    let (go, stopped) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let config = OrchestrationConfig {
        retention: Some(Duration::from_mins(6)),
        ..OrchestrationConfig::default()
    };
    let core = core_with(&store, waiting(&go, &stopped), config).await;
    let mut template = TaskTemplate::builder("single");
    template.step("only", "work");
    let template = Arc::new(template.build().unwrap());
    let unique = || SubmitOptions {
        identity: IdentityStrategy::Unique,
        ..SubmitOptions::default()
    };
    let old = core.submit_with(&template, (), unique()).await.unwrap();
    old.wait().await.unwrap();
    tokio::time::sleep(Duration::from_mins(4)).await;
    let young = core.submit_with(&template, (), unique()).await.unwrap();
    young.wait().await.unwrap();
    tokio::time::sleep(Duration::from_mins(3)).await;
    let gone = old.status().await.unwrap_err();
    assert!(matches!(gone, TaskError::NotFound { .. }), "{gone}");
    let left = store.tasks(TaskFilter::default()).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].task_uuid, young.uuid());
    end(&store, vec![core]).await;
}
