//! The actors that watch: events, health, metrics. In-memory store, virtual time.

use std::sync::Arc;
use std::time::Duration;

use crate::unreliable::{Fault, Unreliable};
use postroom::orchestration::actors::SampleMetricsMessage;
use postroom::orchestration::state::TaskState;
use postroom::orchestration::store::memory::MemoryStore;
use postroom::orchestration::store::{BreakerState, Census, Store};
use postroom::orchestration::template::TaskTemplate;
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use postroom::orchestration::{ClaimMode, OrchestrationConfig, OrchestrationCore};
use postroom::registry::ActorReport;
use tokio::time::{Instant, sleep};

fn one_step() -> Arc<TaskTemplate> {
    let mut template = TaskTemplate::builder("errand");
    template.step("run", "work");
    Arc::new(template.build().unwrap())
}

async fn start(store: &Arc<Unreliable>, config: OrchestrationConfig) -> OrchestrationCore {
    let handlers = StepHandlers::new().register("work", |_: u32, _: StepContext| async {
        sleep(Duration::from_mins(1)).await;
        Ok::<_, StepError>(())
    });
    OrchestrationCore::builder(Arc::clone(store) as Arc<dyn Store>)
        .handlers(handlers.build().unwrap())
        .config(config)
        .start()
        .await
        .unwrap()
}

fn config() -> OrchestrationConfig {
    OrchestrationConfig {
        concurrency: 2,
        ..OrchestrationConfig::default()
    }
}

/// Pollers, heartbeats, sweeps, metrics and a health check every minute, all together.
#[tokio::test(start_paused = true)]
async fn an_idle_process_asks_the_database_less_than_once_a_second() {
    let store = MemoryStore::new();
    let mut processes = Vec::new();
    for _ in 0..3 {
        let counted = Arc::new(Unreliable::new(&store, Fault::None));
        let core = start(
            &counted,
            OrchestrationConfig {
                retention: Some(Duration::from_hours(1)),
                ..config()
            },
        )
        .await;
        processes.push((counted, core));
    }
    let task = processes[0].1.submit(&one_step(), 1).await.unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    // What follows work is not idleness yet.
    sleep(Duration::from_secs(20)).await;
    let before: Vec<u64> = processes
        .iter()
        .map(|(counted, _)| counted.calls())
        .collect();
    let began = Instant::now();
    for _ in 0..10 {
        sleep(Duration::from_mins(1)).await;
        for (_, core) in &processes {
            assert!(core.health().await.is_healthy());
        }
    }
    let seconds = began.elapsed().as_secs();
    for ((counted, core), before) in processes.iter().zip(before) {
        let calls = counted.calls() - before;
        assert!(calls < seconds, "{calls} calls in {seconds} s");
        let report = core.shutdown().await;
        assert!(report.is_balanced(), "{report}");
    }
}

/// However long it was idle: while there is work, others' work is looked for at the short interval again.
#[tokio::test(start_paused = true)]
async fn work_ends_idleness() {
    let store = MemoryStore::new();
    let (submits, works) = (
        Arc::new(Unreliable::new(&store, Fault::None)),
        Arc::new(Unreliable::new(&store, Fault::None)),
    );
    let submitter = start(&submits, config()).await;
    submitter.set_claims(ClaimMode::Paused).await.unwrap();
    let worker = start(&works, config()).await;
    sleep(Duration::from_mins(10)).await;
    let OrchestrationConfig {
        idle_interval,
        poll_interval,
        ..
    } = config();
    for (number, most) in [(1_u8, idle_interval), (2, poll_interval)] {
        let task = submitter.submit(&one_step(), number).await.unwrap();
        let since = Instant::now();
        while worker.running_steps() < usize::from(number) {
            sleep(Duration::from_millis(1)).await;
        }
        let waited = since.elapsed();
        assert!(waited <= most + Duration::from_millis(10), "{waited:?}");
        assert_eq!(task.status().await.unwrap().state, TaskState::Running);
        // For longer than pauses need to grow; the step still runs.
        sleep(Duration::from_secs(20)).await;
    }
    for core in [submitter, worker] {
        let report = core.shutdown().await;
        assert!(report.is_balanced(), "{report}");
    }
}

/// As where the database goes away just after a process has registered.
#[tokio::test(start_paused = true)]
async fn o13_a_first_sweep_that_hangs_does_not_hinder_the_start() {
    let store = MemoryStore::new();
    let unreliable = Arc::new(Unreliable::new(&store, Fault::SweepsStuck));
    let core = start(&unreliable, config()).await;
    unreliable.set(Fault::None);
    let task = core.submit(&one_step(), 1).await.unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    let report = core.shutdown().await;
    assert!(report.is_balanced(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn o13_health_tells_what_waits_and_answers_when_the_store_hangs() {
    let store = MemoryStore::new();
    let unreliable = Arc::new(Unreliable::new(&store, Fault::None));
    let core = start(&unreliable, config()).await;
    core.set_claims(ClaimMode::Paused).await.unwrap();
    for number in 0..5 {
        core.submit(&one_step(), number).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    core.set_claims(ClaimMode::Any).await.unwrap();
    while core.running_steps() < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    let health = core.health().await;
    assert!(health.is_healthy(), "{health:?}");
    let census = health.census.as_ref().unwrap();
    assert_eq!((census.ready, census.running, census.processes), (3, 2, 1));
    let age = health.oldest_ready().unwrap();
    assert!((3..4).contains(&age.as_secs()), "the third: {age:?}");
    assert!(health.last_heartbeat < Duration::from_secs(6), "{health:?}");
    assert_eq!((health.running_steps, health.concurrency), (2, 2));
    let names: Vec<&str> = health.mailboxes.iter().map(|one| &*one.actor).collect();
    assert!(
        names.contains(&"StepEnqueuerActor") && names.contains(&"WorkerActor"),
        "{names:?}"
    );

    // The store hangs: the answer comes, and says so. It is away: so does the breaker.
    unreliable.set(Fault::Stuck);
    let asked = Instant::now();
    let health = core.health().await;
    assert_eq!(asked.elapsed(), Duration::from_secs(2));
    assert!(!health.is_healthy());
    assert!(health.database.unwrap_err().contains("no answer"));
    unreliable.set(Fault::Away);
    while core.context().breaker().state == BreakerState::Closed {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_secs(20)).await;
    let health = core.health().await;
    assert!(!health.is_healthy() && health.census.is_none());
    assert_ne!(health.breaker.state, BreakerState::Closed);
    assert!(
        health.last_heartbeat > Duration::from_secs(20),
        "{health:?}"
    );
    unreliable.set(Fault::None);
    while !core.health().await.is_healthy() {
        sleep(Duration::from_millis(100)).await;
    }

    core.shutdown().await;
    assert!(core.health().await.database.is_err(), "it is closed");
}

#[tokio::test(start_paused = true)]
async fn metrics_are_sampled_now_and_then_with_one_query() {
    let store = MemoryStore::new();
    let unreliable = Arc::new(Unreliable::new(&store, Fault::None));
    let hour = Duration::from_hours(1);
    let quiet = OrchestrationConfig {
        poll_interval: hour,
        sweep_interval: hour,
        heartbeat: Duration::from_secs(20),
        lease: hour,
        process_ttl: hour,
        metrics_interval: Duration::from_secs(7),
        ..config()
    };
    let core = start(&unreliable, quiet).await;
    assert_eq!(core.context().census(), None);
    sleep(Duration::from_secs(1)).await;
    let before = unreliable.calls();
    sleep(Duration::from_secs(15)).await;
    assert_eq!(unreliable.calls() - before, 2);
    let census = core.processing_stats().census.unwrap();
    assert_eq!(
        census,
        Census {
            processes: 1,
            ..Census::default()
        }
    );
    core.set_claims(ClaimMode::Paused).await.unwrap();
    core.submit(&one_step(), 1).await.unwrap();
    let sampled = core.routes().ask(SampleMetricsMessage).await.unwrap();
    assert_eq!(sampled.ready, 1);
    assert_eq!(core.context().census(), Some(sampled));
    let report = core.shutdown().await;
    assert!(report.is_balanced(), "{report}");
}

/// Sources of work end first, what they need last.
#[tokio::test(start_paused = true)]
async fn the_watching_actors_end_before_those_they_send_to() {
    let store = Arc::new(Unreliable::new(&MemoryStore::new(), Fault::None));
    let core = start(&store, config()).await;
    let report = core.shutdown().await;
    let ended: Vec<&str> = report
        .registry
        .actors
        .iter()
        .map(ActorReport::name)
        .collect();
    let place = |name: &str| ended.iter().position(|one| *one == name).unwrap();
    assert_eq!(place("WorkerEventActor"), 0);
    assert_eq!(place("OrchestrationEventActor"), 1);
    assert!(place("OrchestrationEventActor") < place("TaskFinalizerActor"));
    assert!(place("MetricsActor") < place("WorkerActor"));
    assert!(place("HealthActor") < place("WorkerActor"));
    assert_eq!(place("StepEnqueuerActor"), ended.len() - 1);
}

/// What the metrics actor counts reaches the recorder of the program.
#[cfg(feature = "metrics")]
mod gauges {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

    impl Recorder for Kept {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            let mut kept = self.0.lock().unwrap();
            let gauge = kept.entry(key.name().to_owned()).or_default();
            Gauge::from_arc(Arc::clone(gauge))
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_counted_is_published() {
        let kept = Kept::default();
        let _recorder = metrics::set_default_local_recorder(&kept);
        let store = Arc::new(Unreliable::new(&MemoryStore::new(), Fault::None));
        let core = start(&store, config()).await;
        core.set_claims(ClaimMode::Paused).await.unwrap();
        for number in 0..3 {
            core.submit(&one_step(), number).await.unwrap();
        }
        sleep(Duration::from_mins(1)).await;
        let gauge =
            |name: &str| f64::from_bits(kept.0.lock().unwrap()[name].load(Ordering::Relaxed));
        let counts = [
            "steps_ready",
            "steps_running",
            "steps_retry_wait",
            "tasks_blocked",
            "processes",
        ]
        .map(|name| gauge(&format!("postroom_{name}")));
        // A process that claims nothing runs nothing: its tasks are blocked.
        assert_eq!(format!("{counts:?}"), "[3.0, 0.0, 0.0, 3.0, 1.0]");
        let oldest = gauge("postroom_oldest_ready_seconds");
        assert!((45.0..=60.0).contains(&oldest), "{oldest}");
        core.shutdown().await;
    }
}
