//! Processes that share one file are killed and stopped at random, and nothing is lost and nothing recorded twice.
//!
//! ```sh
//! cargo test --release --features sqlite --test crash                              # 24 kills
//! POSTROOM_CRASH_KILLS=500 cargo test --release --features sqlite --test crash -- --nocapture
//! ```
#![cfg(all(feature = "sqlite", target_os = "linux"))]

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroom::orchestration::doctor;
use postroom::orchestration::state::FailurePolicy;
use postroom::orchestration::store::sqlite::{SqliteOptions, SqliteStore};
use postroom::orchestration::store::{HistoryKind, Store};
use postroom::orchestration::template::{Backoff, RetryPolicy, TaskTemplate};
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use postroom::orchestration::{
    ClaimMode, IdentityStrategy, OrchestrationConfig, OrchestrationCore, SubmitOptions, TaskRequest,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use uuid::Uuid;

const FILE: &str = "POSTROOM_TEST_CRASH_WORKER";
const LEASE: Duration = Duration::from_millis(1_500);

fn config() -> OrchestrationConfig {
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

async fn open(path: &Path) -> Arc<dyn Store> {
    let options = SqliteOptions::default().busy_timeout(Duration::from_secs(30));
    Arc::new(
        SqliteStore::open(path.to_str().unwrap(), options)
            .await
            .unwrap(),
    )
}

/// Some steps take a while, some fail once, some fail for good: by the task's number and the step's position.
async fn work(number: u64, step: StepContext) -> Result<Value, StepError> {
    let position: u64 = step.step_name().parse()?;
    let dice = (number * 7 + position * 13) % 40;
    tokio::time::sleep(Duration::from_millis(dice / 2)).await;
    match dice {
        0 if step.attempt() == 1 => Err(StepError::retryable("not the first time")),
        1 => Err(StepError::permanent("never")),
        _ => Ok(json!({ "epoch": step.epoch() })),
    }
}

/// Not a test of its own: a process that is killed and stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_works_until_it_is_killed() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let handlers = StepHandlers::new().register("work", work).build().unwrap();
    let core = OrchestrationCore::builder(open(path.as_ref()).await)
        .handlers(handlers)
        .config(config())
        .start()
        .await
        .unwrap();
    core.closed().await;
}

fn worker(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_works_until_it_is_killed"])
        .env(FILE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A chain, a diamond, a fan that is joined, a fan that fails fast.
fn shapes() -> Vec<Arc<TaskTemplate>> {
    let parents: [&[&[usize]]; 4] = [
        &[&[], &[0], &[1], &[2]],
        &[&[], &[0], &[0], &[1, 2]],
        &[&[], &[], &[], &[], &[], &[], &[0, 1, 2, 3, 4, 5]],
        &[&[], &[], &[0], &[1], &[2, 3]],
    ];
    let retry = RetryPolicy {
        backoff: Backoff::Linear,
        backoff_base_ms: 20,
        ..RetryPolicy::default()
    };
    let shape = |(number, parents): (usize, &&[&[usize]])| {
        let mut template = TaskTemplate::builder(format!("shape-{number}"));
        if number == 3 {
            template = template.failure_policy(FailurePolicy::FailFast);
        }
        let mut steps = Vec::new();
        for (position, parents) in parents.iter().enumerate() {
            let after: Vec<_> = parents.iter().map(|parent| &steps[*parent]).collect();
            let step = template.step(position.to_string(), "work").after(after);
            let step = step.retry(retry.clone()).add();
            steps.push(step);
        }
        Arc::new(template.build().unwrap())
    };
    parents.iter().enumerate().map(shape).collect()
}

/// Submits tasks all through the storm; returns the ids of those that were acknowledged.
async fn submit(core: &OrchestrationCore, first: u64, count: u64) -> Vec<Uuid> {
    let shapes = shapes();
    let requests = (first..first + count).map(|number| TaskRequest {
        template: Arc::clone(&shapes[usize::try_from(number).unwrap() % shapes.len()]),
        input: json!(number),
        options: SubmitOptions {
            identity: IdentityStrategy::Caller(number.to_string()),
            ..SubmitOptions::default()
        },
    });
    let answers = core.submit_many(requests).await;
    answers
        .into_iter()
        .map(|task| task.unwrap().uuid())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o01_killed_and_stopped_processes_on_one_file_lose_nothing_and_record_nothing_twice() {
    let kills: u64 = std::env::var("POSTROOM_CRASH_KILLS").map_or(24, |text| {
        text.parse().expect("POSTROOM_CRASH_KILLS is a number")
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crash.db");
    let store = open(&path).await;
    let core = OrchestrationCore::builder(Arc::clone(&store))
        .config(config())
        .claims(ClaimMode::Paused)
        .start()
        .await
        .unwrap();
    let started = Instant::now();
    let mut rng = fastrand::Rng::new();
    println!("seed {}", rng.get_seed());
    let mut workers = [worker(&path), worker(&path)];
    let mut acknowledged = submit(&core, 0, 1_000).await;
    let (mut killed, mut stopped) = (0, 0);
    while killed < kills {
        tokio::time::sleep(Duration::from_millis(rng.u64(50..800))).await;
        let chosen = rng.usize(0..2);
        if rng.u8(0..5) == 0 {
            // Past its lease: others take its steps over, and what it hands in afterwards is stale.
            signal(&workers[chosen], Signal::STOP);
            let past = LEASE + Duration::from_millis(rng.u64(100..1_000));
            tokio::time::sleep(past).await;
            signal(&workers[chosen], Signal::CONT);
            stopped += 1;
            continue;
        }
        workers[chosen].kill().unwrap();
        workers[chosen].wait().unwrap();
        workers[chosen] = worker(&path);
        killed += 1;
        let first = acknowledged.len() as u64;
        acknowledged.extend(submit(&core, first, 50).await);
    }
    let stormed = started.elapsed();
    let tasks: HashSet<Uuid> = acknowledged.iter().copied().collect();
    assert_eq!(
        tasks.len(),
        acknowledged.len(),
        "every submission made a task of its own"
    );
    for &uuid in &tasks {
        let task = core
            .task(uuid)
            .await
            .unwrap()
            .expect("what was acknowledged is stored");
        task.wait().await.unwrap();
    }
    for mut worker in workers {
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    let diagnosis = doctor::examine(&*store).await.unwrap();
    assert_eq!(diagnosis.problems, Vec::<String>::new());
    let (mut attempts, mut lost, mut stale) = (0, 0, 0);
    for &uuid in &tasks {
        let mut completed = HashMap::new();
        for row in store.history(uuid).await.unwrap() {
            attempts += u32::from(row.kind == HistoryKind::Attempt);
            lost += u32::from(row.kind == HistoryKind::LeaseLost);
            stale += u32::from(row.kind == HistoryKind::Stale);
            if row.kind == HistoryKind::Attempt && row.to.as_deref() == Some("complete") {
                let before = completed.insert(row.step.unwrap(), row.epoch.unwrap());
                assert_eq!(
                    before, None,
                    "step {:?} of {uuid} was recorded twice",
                    row.step
                );
            }
        }
        for step in store.steps(uuid).await.unwrap() {
            if let Some(result) = &step.result_json {
                // The result is that of the last claim, and of no earlier one.
                assert_eq!(
                    *result,
                    format!(r#"{{"epoch":{}}}"#, step.epoch),
                    "{step:?}"
                );
                assert_eq!(completed.get(&step.index), Some(&step.epoch));
            }
        }
    }
    assert!(lost > 0, "the storm took leases away");
    println!(
        "{} tasks, {attempts} attempts, {killed} kills, {stopped} stops, {lost} leases lost, {stale} stale results; \
         storm {:.1} s, all ended after {:.1} s",
        tasks.len(),
        stormed.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    assert!(core.shutdown().await.is_balanced());
}
