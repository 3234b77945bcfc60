//! Workflows while things go wrong: lost processes, lost answers, a failing store, panics. In-memory store,
//! virtual time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::unreliable::{Fault, Unreliable};
use postroom::orchestration::state::{StepState, TaskState};
use postroom::orchestration::store::memory::MemoryStore;
use postroom::orchestration::store::{
    ClaimRequest, ClaimScope, Completion, CompletionOutcome, HistoryKind, StepOutcome, Store,
};
use postroom::orchestration::template::{RetryPolicy, TaskTemplate};
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use postroom::orchestration::{ClaimMode, OrchestrationConfig, OrchestrationCore, TaskHandle};
use serde_json::Value;
use uuid::Uuid;

fn diamond() -> Arc<TaskTemplate> {
    let mut template = TaskTemplate::builder("diamond");
    let top = template.step("top", "work").add();
    let left = template.step("left", "work").after([&top]).add();
    let right = template.step("right", "work").after([&top]).add();
    template.step("bottom", "work").after([&left, &right]);
    Arc::new(template.build().unwrap())
}

async fn core(store: Arc<dyn Store>, handlers: StepHandlers) -> OrchestrationCore {
    let config = OrchestrationConfig {
        concurrency: 4,
        ..OrchestrationConfig::default()
    };
    OrchestrationCore::builder(store)
        .handlers(handlers.build().unwrap())
        .config(config)
        .start()
        .await
        .unwrap()
}

fn working() -> StepHandlers {
    StepHandlers::new().register("work", |_: Value, step: StepContext| async move {
        Ok::<_, StepError>(step.epoch())
    })
}

#[tokio::test(start_paused = true)]
async fn o03_the_steps_of_a_process_that_is_gone_are_taken_over_and_its_late_result_is_stale() {
    let store = MemoryStore::new();
    let lost = Uuid::from_u128(1);
    let template = diamond();
    let first = core(Arc::new(store.clone()), working()).await;
    first.set_claims(ClaimMode::Paused).await.unwrap();
    let task = first.submit(&template, 7).await.unwrap();
    let claims = store
        .claim(ClaimRequest {
            process: lost,
            scope: ClaimScope::Any,
            callables: vec!["work".into()],
            serves: Vec::new(),
            limit: 10,
            lease: Duration::from_secs(30),
        })
        .await
        .unwrap();
    assert_eq!(claims.steps.len(), 1);
    first.set_claims(ClaimMode::Any).await.unwrap();

    let started = tokio::time::Instant::now();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    let waited = started.elapsed();
    assert!(
        waited >= Duration::from_secs(29),
        "the lease was honoured: {waited:?}"
    );
    assert!(
        waited <= Duration::from_secs(33),
        "and taken over within a tick: {waited:?}"
    );

    let late = Completion {
        lease: claims.steps[0].lease(),
        process: lost,
        outcome: StepOutcome::Success {
            result_json: "\"late\"".into(),
        },
        elapsed: Duration::ZERO,
    };
    let answer = store.complete(vec![late]).await.unwrap();
    assert!(
        matches!(answer[0], CompletionOutcome::Stale { .. }),
        "{answer:?}"
    );
    let top = &store.steps(task.uuid()).await.unwrap()[0];
    assert_eq!((top.attempts, top.lost_leases, top.epoch), (1, 1, 2));
    assert_eq!(
        top.result_json.as_deref(),
        Some("2"),
        "the later claim's result stands"
    );
    let history = store.history(task.uuid()).await.unwrap();
    let stale = history
        .iter()
        .filter(|row| row.kind == HistoryKind::Stale)
        .count();
    assert_eq!(stale, 1);
    assert_eq!(store.audit().await.unwrap(), Vec::<String>::new());
    assert!(first.shutdown().await.is_balanced());
}

#[tokio::test(start_paused = true)]
async fn o14_a_task_that_no_live_worker_can_run_is_blocked_and_says_so() {
    let store = MemoryStore::new();
    let config = OrchestrationConfig {
        require_known_handlers: false,
        ..OrchestrationConfig::default()
    };
    let submitting = OrchestrationCore::builder(Arc::new(store.clone()))
        .config(config)
        .start()
        .await
        .unwrap();
    let task = submitting.submit(&diamond(), 1).await.unwrap();
    let blocked = loop {
        let record = task.status().await.unwrap();
        if record.state == TaskState::Blocked {
            break record;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(blocked.reason.unwrap().contains("no live worker for work"));
    let working = core(Arc::new(store.clone()), working()).await;
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    assert_eq!(store.audit().await.unwrap(), Vec::<String>::new());
    assert!(working.shutdown().await.is_balanced());
    assert!(submitting.shutdown().await.is_balanced());
}

#[tokio::test(start_paused = true)]
async fn a_panicking_handler_fails_its_attempt_and_nothing_else() {
    let store = MemoryStore::new();
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let handlers = StepHandlers::new().register("work", move |_: Value, step: StepContext| {
        let first = count.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            assert!(!first, "the first attempt panics");
            Ok::<_, StepError>(step.attempt())
        }
    });
    let core = core(Arc::new(store.clone()), handlers).await;
    let mut template = TaskTemplate::builder("single");
    template.step("only", "work").retry(RetryPolicy::default());
    let task = core
        .submit(&Arc::new(template.build().unwrap()), ())
        .await
        .unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    let history = store.history(task.uuid()).await.unwrap();
    let panicked = history.iter().any(|row| {
        row.detail
            .as_deref()
            .is_some_and(|detail| detail.contains("the first attempt panics"))
    });
    assert!(panicked, "{history:?}");
    assert!(core.shutdown().await.is_balanced());
}

#[tokio::test(start_paused = true)]
async fn o01_lost_answers_of_the_store_lose_no_task_and_record_no_result_twice() {
    let store = MemoryStore::new();
    let unreliable = Arc::new(Unreliable::new(&store, Fault::EveryFifth));
    let core = core(Arc::clone(&unreliable) as Arc<dyn Store>, working()).await;
    let template = diamond();
    let mut tasks = Vec::new();
    for n in 0..40 {
        // Submitting again is always safe.
        let task = loop {
            match core.submit(&template, n).await {
                Ok(task) => break task,
                Err(error) => assert!(
                    error.to_string().contains("the connection is gone"),
                    "{error}"
                ),
            }
        };
        tasks.push(task);
    }
    let mut distinct: Vec<_> = tasks.iter().map(TaskHandle::uuid).collect();
    distinct.dedup();
    assert_eq!(distinct.len(), 40);
    for task in &tasks {
        assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
        let mut recorded: HashMap<u32, u32> = HashMap::new();
        for row in store.history(task.uuid()).await.unwrap() {
            if row.kind == HistoryKind::Attempt {
                *recorded.entry(row.step.unwrap()).or_default() += 1;
            }
        }
        assert_eq!(recorded.len(), 4);
        assert!(recorded.values().all(|times| *times == 1), "{recorded:?}");
    }
    assert!(unreliable.calls() > 200);
    unreliable.set(Fault::None);
    assert_eq!(store.audit().await.unwrap(), Vec::<String>::new());
    assert!(core.shutdown().await.is_balanced());
}

// On real time: virtual time stands still while a thread is at work.
#[tokio::test]
async fn a_blocking_handler_that_outlives_its_timeout_keeps_its_slot() {
    let store = MemoryStore::new();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(Some(held));
    let (at_once, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let most_seen = Arc::clone(&most);
    let handlers =
        StepHandlers::new().register_blocking("work", move |_: Value, _: StepContext| {
            most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let held = held.lock().unwrap().take();
            if let Some(held) = held {
                // Ends when the test drops its side.
                let _ = held.recv();
            }
            at_once.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, StepError>(())
        });
    let config = OrchestrationConfig {
        concurrency: 1,
        ..OrchestrationConfig::default()
    };
    let core = OrchestrationCore::builder(Arc::new(store.clone()))
        .handlers(handlers.build().unwrap())
        .config(config)
        .start()
        .await
        .unwrap();
    let mut template = TaskTemplate::builder("single");
    let policy = RetryPolicy {
        max_attempts: 2,
        backoff_base_ms: 1,
        ..RetryPolicy::default()
    };
    template
        .step("only", "work")
        .timeout(Duration::from_millis(20))
        .retry(policy);
    let task = core
        .submit(&Arc::new(template.build().unwrap()), ())
        .await
        .unwrap();
    // The timeout is recorded although the thread is still at work.
    let step = loop {
        let step = store.steps(task.uuid()).await.unwrap().remove(0);
        if step.state == StepState::RetryWait {
            break step;
        }
        tokio::task::yield_now().await;
    };
    assert!(
        step.error.as_deref().unwrap().starts_with("timeout"),
        "{step:?}"
    );
    drop(release);
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    assert_eq!(
        most_seen.load(Ordering::SeqCst),
        1,
        "a second thread ran beside the first"
    );
    assert!(core.shutdown().await.is_balanced());
}
