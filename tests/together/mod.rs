//! Processes that work together on one database: the same on every one that gives hints.

use std::sync::Arc;
use std::time::Duration;

use postroom::orchestration::state::TaskState;
use postroom::orchestration::store::Store;
use postroom::orchestration::template::TaskTemplate;
use postroom::orchestration::worker::{HandlerTable, StepContext, StepError, StepHandlers};
use postroom::orchestration::{ClaimMode, OrchestrationConfig, OrchestrationCore};
use tokio::time::timeout;

/// A worker that does not poll runs what another process submits.
pub(crate) async fn o12_a_worker_is_told_of_work(submits: Arc<dyn Store>, works: Arc<dyn Store>) {
    let handlers = || {
        StepHandlers::new()
            .register("work", |(): (), _: StepContext| async {
                Ok::<_, StepError>(())
            })
            .build()
            .unwrap()
    };
    let submitter = start(submits, handlers(), ClaimMode::Paused).await;
    let worker = start(works, handlers(), ClaimMode::Any).await;
    let mut template = TaskTemplate::builder("parcel");
    template.step("pack", "work");
    let template = Arc::new(template.build().unwrap());
    let all_run = async {
        // The first may come before the worker listens, and is then run together with a later one.
        let mut tasks = Vec::new();
        for number in 0.. {
            tasks.push(submitter.submit(&template, number).await.unwrap());
            let ended = timeout(Duration::from_secs(1), tasks[0].wait()).await;
            if let Ok(ended) = ended {
                assert_eq!(ended.unwrap().state, TaskState::Complete);
                break;
            }
        }
    };
    timeout(Duration::from_mins(1), all_run)
        .await
        .expect("to be told");
    for core in [submitter, worker] {
        let report = core.shutdown().await;
        assert!(report.is_balanced(), "{report}");
    }
}

async fn start(
    store: Arc<dyn Store>,
    handlers: HandlerTable,
    claims: ClaimMode,
) -> OrchestrationCore {
    let hour = Duration::from_hours(1);
    OrchestrationCore::builder(store)
        .handlers(handlers)
        .claims(claims)
        .config(OrchestrationConfig {
            poll_interval: hour,
            sweep_interval: hour,
            ..OrchestrationConfig::default()
        })
        .start()
        .await
        .unwrap()
}
