//! A core whose database goes away and comes back: the same on every database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use postroom::orchestration::state::TaskState;
use postroom::orchestration::store::{BreakerState, HistoryKind, Store};
use postroom::orchestration::template::TaskTemplate;
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use postroom::orchestration::{OrchestrationConfig, OrchestrationCore};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

fn two_steps() -> Arc<TaskTemplate> {
    let mut template = TaskTemplate::builder("delivery");
    let first = template.step("load", "work").add();
    template.step("drive", "work").after([&first]);
    Arc::new(template.build().unwrap())
}

/// A step ends while the database is away. Callers are told so at once; the outcome is kept and recorded, once, when
/// the database is back. `store` is to give up on it after a fraction of a second.
pub(crate) async fn o13_a_step_that_ends_in_an_outage_is_recorded_after_it<L>(
    store: Arc<dyn Store>,
    away: impl AsyncFnOnce() -> L,
    back: impl AsyncFnOnce(L),
) {
    let (runs, ends) = (
        Arc::new(AtomicU32::new(0)),
        Arc::new(Semaphore::const_new(0)),
    );
    let handlers = {
        let (runs, ends) = (Arc::clone(&runs), Arc::clone(&ends));
        StepHandlers::new().register("work", move |(): (), _: StepContext| {
            let ends = Arc::clone(&ends);
            runs.fetch_add(1, Ordering::Relaxed);
            async move {
                ends.acquire().await.unwrap().forget();
                Ok::<_, StepError>(())
            }
        })
    };
    let core = OrchestrationCore::builder(store)
        .handlers(handlers.build().unwrap())
        .config(OrchestrationConfig {
            poll_interval: Duration::from_millis(50),
            breaker_open: Duration::from_millis(200),
            completion_retries: 0,
            ..OrchestrationConfig::default()
        })
        .start()
        .await
        .unwrap();
    let task = core.submit(&two_steps(), ()).await.unwrap();
    until("the first step runs", || runs.load(Ordering::Relaxed) == 1).await;

    let lock = away().await;
    ends.add_permits(1);
    until("the breaker opens", || {
        core.context().breaker().state == BreakerState::Open
    })
    .await;
    let refused = core.submit(&two_steps(), ()).await;
    let told = refused.expect_err("the database is away");
    // One caller at a time tries the database itself, and may be this one.
    assert!(
        told.retry_after().is_some() || core.context().breaker().failures > 3,
        "{told}"
    );
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    back(lock).await;

    ends.add_permits(1);
    let ended = timeout(Duration::from_mins(1), async {
        loop {
            match task.wait().await {
                Ok(ended) => return ended,
                // It is read before the breaker has noticed.
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    });
    assert_eq!(ended.await.unwrap().state, TaskState::Complete);
    assert_eq!(core.context().breaker().state, BreakerState::Closed);
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    let history = core.store().history(task.uuid()).await.unwrap();
    let attempts = history
        .iter()
        .filter(|row| row.kind == HistoryKind::Attempt);
    assert_eq!(attempts.count(), 2);
    let lost = |kind| matches!(kind, HistoryKind::Stale | HistoryKind::LeaseLost);
    assert!(!history.iter().any(|row| lost(row.kind)), "{history:?}");
    assert_eq!(core.store().audit().await.unwrap(), Vec::<String>::new());
    let report = core.shutdown().await;
    assert!(
        report.is_balanced() && report.unregister.is_none(),
        "{report}"
    );
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = timeout(Duration::from_mins(1), async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}: not within a minute");
}
