//! The processes that are killed: what they submit, and how they work.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use postroom::orchestration::state::FailurePolicy;
use postroom::orchestration::template::{Backoff, RetryPolicy, TaskTemplate};
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use postroom::orchestration::{
    IdentityStrategy, OrchestrationConfig, OrchestrationCore, OrchestrationEvent, SubmitOptions,
    TaskRequest,
};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use crate::place;

/// Set for a process that submits tasks of its own.
pub(super) const SUBMITS: &str = "POSTROOM_TEST_CRASH_SUBMITS";
pub(super) const LEASE: Duration = Duration::from_millis(1_500);

pub(super) fn config() -> OrchestrationConfig {
    OrchestrationConfig {
        concurrency: 16,
        lease: LEASE,
        heartbeat: Duration::from_millis(400),
        process_ttl: Duration::from_secs(3),
        poll_interval: Duration::from_millis(100),
        sweep_interval: Duration::from_millis(300),
        // A storm of kills must not fail a step for good.
        max_lost_leases: 1_000,
        require_known_handlers: false,
        ..OrchestrationConfig::default()
    }
}

/// Most steps are short, some outlast a lease, some fail once, some fail for good: by the task's number and the
/// step's position.
async fn work(number: u64, step: StepContext) -> Result<Value, StepError> {
    let position: u64 = step.step_name().parse()?;
    let dice = (number * 7 + position * 13) % 80;
    let takes = match dice {
        2 => 2_000,
        // Long enough to be running anew when a process that was stopped hands in its result.
        3..6 => 600,
        _ => dice / 4,
    };
    tokio::time::sleep(Duration::from_millis(takes)).await;
    match dice {
        0 if step.attempt() == 1 => Err(StepError::retryable("not the first time")),
        1 => Err(StepError::permanent("never")),
        _ => Ok(json!({ "epoch": step.epoch() })),
    }
}

/// A single step, a chain, a diamond, a join of six, a fan of eight that is joined, one that fails fast.
pub(super) struct Shapes(Vec<Arc<TaskTemplate>>);

impl Shapes {
    pub(super) fn new() -> Self {
        let parents: [&[&[usize]]; 6] = [
            &[&[]],
            &[&[], &[0], &[1], &[2]],
            &[&[], &[0], &[0], &[1, 2]],
            &[&[], &[], &[], &[], &[], &[], &[0, 1, 2, 3, 4, 5]],
            &[
                &[],
                &[0],
                &[0],
                &[0],
                &[0],
                &[0],
                &[0],
                &[0],
                &[0],
                &[1, 2, 3, 4, 5, 6, 7, 8],
            ],
            &[&[], &[], &[0], &[1], &[2, 3]],
        ];
        let retry = RetryPolicy {
            backoff: Backoff::Linear,
            backoff_base_ms: 20,
            ..RetryPolicy::default()
        };
        let shape = |(number, parents): (usize, &&[&[usize]])| {
            let mut template = TaskTemplate::builder(format!("shape-{number}"));
            if number == 5 {
                template = template.failure_policy(FailurePolicy::FailFast);
            }
            let mut steps = Vec::new();
            for (position, parents) in parents.iter().enumerate() {
                let after: Vec<_> = parents.iter().map(|parent| &steps[*parent]).collect();
                let step = template.step(position.to_string(), "work").after(after);
                steps.push(step.retry(retry.clone()).add());
            }
            Arc::new(template.build().unwrap())
        };
        Self(parents.iter().enumerate().map(shape).collect())
    }

    /// Submits tasks until each of them is acknowledged, and returns their ids.
    pub(super) async fn submit(
        &self,
        core: &OrchestrationCore,
        by: &str,
        first: u64,
        count: u64,
    ) -> Vec<Uuid> {
        let mut acknowledged = Vec::new();
        let mut numbers: Vec<u64> = (first..first + count).collect();
        while !numbers.is_empty() {
            let request = |&number: &u64| TaskRequest {
                template: Arc::clone(&self.0[usize::try_from(number).unwrap() % self.0.len()]),
                input: json!(number),
                options: SubmitOptions {
                    identity: IdentityStrategy::Caller(format!("{by} {number}")),
                    priority: i16::try_from(number % 3).unwrap() - 1,
                    ..SubmitOptions::default()
                },
            };
            let requests: Vec<_> = numbers.iter().map(request).collect();
            let answers = core.submit_many(requests).await;
            let mut again = Vec::new();
            for (answer, number) in answers.into_iter().zip(numbers) {
                match answer {
                    Ok(task) => acknowledged.push(task.uuid()),
                    // What became of it is not known; the same key finds it.
                    Err(_) => again.push(number),
                }
            }
            numbers = again;
        }
        acknowledged
    }
}

fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
}

/// Not a test of its own: a process that is killed and stopped. It says what it was told is stored and recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_works_until_it_is_killed() {
    let Some(url) = place::given() else {
        return;
    };
    place::end_with_parent();
    let handlers = StepHandlers::new().register("work", work).build().unwrap();
    let core = OrchestrationCore::builder(place::open(&url).await)
        .handlers(handlers)
        .config(config())
        .start()
        .await
        .unwrap();
    let mut events = core.events();
    tokio::spawn(async move {
        loop {
            match events.recv().await {
                Ok(OrchestrationEvent::StepFinished {
                    task_uuid,
                    index,
                    state,
                    attempt,
                    ..
                }) => say(format_args!(
                    "recorded {task_uuid} {index} {state} {attempt}"
                )),
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
    if std::env::var_os(SUBMITS).is_some() {
        let (shapes, name) = (Shapes::new(), Uuid::new_v4().to_string());
        let mut first = 0;
        let mut often = tokio::time::interval(Duration::from_millis(200));
        loop {
            often.tick().await;
            for uuid in shapes.submit(&core, &name, first, 3).await {
                say(format_args!("stored {uuid}"));
            }
            first += 3;
        }
    }
    core.closed().await;
}
