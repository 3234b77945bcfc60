//! Workflows through postroom: a linear one of four steps that do nothing, and other shapes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postroom::orchestration::template::TaskTemplate;
use postroom::orchestration::worker::{HandlerTable, StepContext, StepError, StepHandlers};
use postroom::orchestration::{OrchestrationConfig, OrchestrationCore, TaskHandle};
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::database::{Database, Opened};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) workflows: usize,
    pub(crate) submitters: usize,
    pub(crate) concurrency: usize,
}

/// What the handlers tell.
#[derive(Default)]
pub(crate) struct Seen {
    first: Mutex<Option<Instant>>,
    last: AtomicUsize,
    all: Notify,
}

impl Seen {
    pub(crate) fn take_first(&self) -> Option<Instant> {
        self.first.lock().expect("nobody panics with it").take()
    }

    /// How many last steps have run.
    pub(crate) fn ended(&self) -> usize {
        self.last.load(Ordering::Relaxed)
    }
}

pub(crate) struct Engine {
    pub(crate) core: Arc<OrchestrationCore>,
    pub(crate) opened: Opened,
    pub(crate) template: Arc<TaskTemplate>,
    pub(crate) seen: Arc<Seen>,
}

impl Engine {
    /// One that runs what it submits, and notifies `seen` when so many workflows have run their last step.
    pub(crate) async fn start(database: &Database, concurrency: usize, expected: usize) -> Self {
        let seen = Arc::new(Seen::default());
        let handlers = handlers(&seen, expected);
        let config = OrchestrationConfig {
            concurrency,
            ..OrchestrationConfig::default()
        };
        Self::with(database.open().await, handlers, config, seen).await
    }

    /// One that only submits.
    pub(crate) async fn submitting(database: &Database) -> Self {
        let handlers = StepHandlers::new().build().expect("there are none");
        let config = OrchestrationConfig {
            require_known_handlers: false,
            ..OrchestrationConfig::default()
        };
        Self::with(database.open().await, handlers, config, Arc::default()).await
    }

    pub(crate) async fn with(
        opened: Opened,
        handlers: HandlerTable,
        config: OrchestrationConfig,
        seen: Arc<Seen>,
    ) -> Self {
        let core = OrchestrationCore::builder(Arc::clone(&opened.store))
            .handlers(handlers)
            .config(config)
            .start()
            .await
            .expect("the core starts");
        Self {
            core: Arc::new(core),
            opened,
            template: linear(),
            seen,
        }
    }

    pub(crate) async fn submit(&self, input: impl Into<Value>) -> TaskHandle {
        self.core
            .submit(&self.template, input.into())
            .await
            .expect("it is accepted")
    }

    /// Submits them all, runs them, and waits until each has its end in the database.
    pub(crate) async fn run(&self, load: Load, database: &Database, last: i64) {
        self.submit_all(load, None).await;
        self.seen.all.notified().await;
        // The last handlers have run; what is left is the record of it.
        while database.unfinished(last).await.1 > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// So many callers, each one workflow at a time; at most `rate` of all of them in a second.
    pub(crate) async fn submit_all(&self, load: Load, rate: Option<f64>) {
        let next = Arc::new(AtomicUsize::new(0));
        let started = tokio::time::Instant::now();
        // Other inputs each time, so that a database can be used again.
        let salt = Uuid::new_v4().to_string();
        let submitters: Vec<_> = (0..load.submitters)
            .map(|_| {
                let (core, template) = (Arc::clone(&self.core), Arc::clone(&self.template));
                let (next, salt) = (Arc::clone(&next), salt.clone());
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= load.workflows {
                            break;
                        }
                        if let Some(rate) = rate {
                            let due = Duration::from_secs_f64(number as f64 / rate);
                            tokio::time::sleep_until(started + due).await;
                        }
                        let input = serde_json::json!({ "order": number, "round": salt });
                        core.submit(&template, input).await.expect("it is accepted");
                    }
                })
            })
            .collect();
        for submitter in submitters {
            submitter.await.expect("it does not panic");
        }
    }

    pub(crate) async fn stop(self) {
        let report = self.core.shutdown().await;
        assert!(report.is_balanced(), "{report}");
    }
}

fn handlers(seen: &Arc<Seen>, expected: usize) -> HandlerTable {
    let (first, last) = (Arc::clone(seen), Arc::clone(seen));
    let handlers = StepHandlers::new()
        .register("first", move |_: Value, _: StepContext| {
            *first.first.lock().expect("nobody panics with it") = Some(Instant::now());
            async { Ok::<_, StepError>(()) }
        })
        .register("noop", |_: Value, _: StepContext| async {
            Ok::<_, StepError>(())
        })
        .register("last", move |_: Value, _: StepContext| {
            if last.last.fetch_add(1, Ordering::Relaxed) + 1 == expected {
                last.all.notify_one();
            }
            async { Ok::<_, StepError>(()) }
        });
    handlers.build().expect("the handlers have different names")
}

fn linear() -> Arc<TaskTemplate> {
    let mut template = TaskTemplate::builder("linear");
    let mut before = template.step("first", "first").add();
    for name in ["second", "third"] {
        before = template.step(name, "noop").after([&before]).add();
    }
    template.step("fourth", "last").after([&before]).add();
    Arc::new(template.build().expect("the template is valid"))
}

/// One workflow, to its end.
pub(crate) async fn one(database: &Database) {
    let engine = Engine::start(database, 16, usize::MAX).await;
    engine
        .submit("sample")
        .await
        .wait()
        .await
        .expect("it can be read");
    engine.stop().await;
}
