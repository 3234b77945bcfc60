//! Processes of an old version of a service are replaced by those of a new one, one after the other and under
//! load: no task is left behind, and no step is run twice.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use postroom::orchestration::state::TaskState;
use postroom::orchestration::template::TaskTemplate;
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use postroom::orchestration::{
    ClaimMode, IdentityStrategy, OrchestrationConfig, OrchestrationCore, SubmitOptions,
    TaskRequest, doctor,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::place::{self, Place};

/// The version of a process of this test.
const VERSION: &str = "POSTROOM_TEST_ROLLING_VERSION";
const OLD: &str = "1.0.0";
const NEW: &str = "2.0.0";

/// A diamond. The new version ends with a step that old processes cannot run.
fn template(version: &str) -> Arc<TaskTemplate> {
    let last = if version == NEW {
        "ship by air"
    } else {
        "ship"
    };
    let mut order = TaskTemplate::builder("order").version(version);
    let taken = order.step("take", "work").add();
    let paid = order.step("pay", "work").after([&taken]).add();
    let packed = order.step("pack", "work").after([&taken]).add();
    order.step("ship", last).after([&paid, &packed]).add();
    Arc::new(order.build().unwrap())
}

fn config(serves: &[&str]) -> OrchestrationConfig {
    OrchestrationConfig {
        concurrency: 8,
        serves: serves
            .iter()
            .map(|version| format!("default/order@{version}").parse().unwrap())
            .collect(),
        poll_interval: Duration::from_millis(50),
        sweep_interval: Duration::from_millis(200),
        require_known_handlers: false,
        ..OrchestrationConfig::default()
    }
}

/// Not a test of its own: a process that serves its version and those before it until its input ends, and then
/// shuts down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_serves_until_it_is_replaced() {
    let Some(url) = place::given() else {
        return;
    };
    let version = std::env::var(VERSION).unwrap();
    let work = {
        let version = version.clone();
        move |_: Value, step: StepContext| {
            let version = version.clone();
            async move {
                println!("ran {} {} {version}", step.task_uuid(), step.step_name());
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok::<_, StepError>(json!(version))
            }
        }
    };
    let mut handlers = StepHandlers::new()
        .register("work", work.clone())
        .register("ship", work.clone());
    let mut serves = vec![OLD];
    if version == NEW {
        handlers = handlers.register("ship by air", work);
        serves.push(NEW);
    }
    let core = OrchestrationCore::builder(place::open(&url).await)
        .handlers(handlers.build().unwrap())
        .config(config(&serves))
        .start()
        .await
        .unwrap();
    println!("\nup");
    let input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    input.await.unwrap().unwrap();
    let report = core.shutdown().await;
    assert!(
        report.is_balanced() && report.unregister.is_none(),
        "{report}"
    );
}

/// What the processes said.
struct Heard {
    lines: mpsc::UnboundedReceiver<String>,
    up: usize,
    /// How often each step was run, and by which version last.
    ran: BTreeMap<(Uuid, String), (u32, String)>,
}

impl Heard {
    async fn until(&mut self, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            let line = self.lines.recv().await.unwrap();
            self.hear(&line);
        }
    }

    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["up"] => self.up += 1,
            ["ran", task, step, version] => {
                let step = (task.parse().unwrap(), step.to_owned());
                let (times, by) = self.ran.entry(step).or_default();
                *times += 1;
                version.clone_into(by);
            }
            // What the test harness says.
            _ => {}
        }
    }
}

struct Replaceable(Child, JoinHandle<()>);

impl Replaceable {
    fn start(place: &Place, version: &str, said: &mpsc::UnboundedSender<String>) -> Self {
        let mut child = place
            .process("rolling::child_that_serves_until_it_is_replaced")
            .env(VERSION, version)
            .spawn()
            .unwrap();
        let said = said.clone();
        let listening = place::listen(&mut child, move |line| said.send(line.to_owned()).unwrap());
        Self(child, listening)
    }

    /// Tells it to shut down, and waits until it has.
    fn replace(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
        self.1.join().unwrap();
    }
}

/// Submits tasks of both versions until it is told to stop; returns their ids.
async fn load(core: Arc<OrchestrationCore>, stop: Arc<AtomicBool>) -> Vec<(Uuid, &'static str)> {
    let templates = [(OLD, template(OLD)), (NEW, template(NEW))];
    let mut tasks = Vec::new();
    let mut often = tokio::time::interval(Duration::from_millis(50));
    while !stop.load(Ordering::Relaxed) {
        often.tick().await;
        for (version, template) in &templates {
            let requests = (0..4).map(|number| TaskRequest {
                template: Arc::clone(template),
                input: json!(number),
                options: SubmitOptions {
                    identity: IdentityStrategy::Unique,
                    ..SubmitOptions::default()
                },
            });
            for answer in core.submit_many(requests).await {
                tasks.push((answer.unwrap().uuid(), *version));
            }
        }
    }
    tasks
}

async fn roll(place: Place) {
    let store = place.open().await;
    let core = OrchestrationCore::builder(Arc::clone(&store))
        .config(config(&[]))
        .claims(ClaimMode::Paused)
        .start()
        .await
        .unwrap();
    let core = Arc::new(core);
    let (said, lines) = mpsc::unbounded_channel();
    let mut heard = Heard {
        lines,
        up: 0,
        ran: BTreeMap::new(),
    };
    let olds: Vec<_> = (0..3)
        .map(|_| Replaceable::start(&place, OLD, &said))
        .collect();
    heard.until(|heard| heard.up == 3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let loading = tokio::spawn(load(Arc::clone(&core), Arc::clone(&stop)));
    let mut news = Vec::new();
    for (number, old) in olds.into_iter().enumerate() {
        let before = heard.ran.len();
        heard.until(|heard| heard.ran.len() > before + 100).await;
        news.push(Replaceable::start(&place, NEW, &said));
        heard.until(|heard| heard.up == 4 + number).await;
        tokio::task::spawn_blocking(|| old.replace()).await.unwrap();
    }
    let before = heard.ran.len();
    heard.until(|heard| heard.ran.len() > before + 100).await;
    stop.store(true, Ordering::Relaxed);
    let tasks = loading.await.unwrap();
    for &(uuid, _) in &tasks {
        let task = core.task(uuid).await.unwrap().unwrap();
        assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    }
    let replacing = |new: Replaceable| tokio::task::spawn_blocking(|| new.replace());
    for new in news {
        replacing(new).await.unwrap();
    }
    drop(said);
    while let Some(line) = heard.lines.recv().await {
        heard.hear(&line);
    }
    assert_eq!(heard.ran.len(), 4 * tasks.len(), "every step was run");
    let version_of: BTreeMap<_, _> = tasks.into_iter().collect();
    for ((uuid, step), (times, by)) in &heard.ran {
        assert_eq!(*times, 1, "{step} of {uuid}");
        assert!(by == NEW || version_of[uuid] == OLD, "{step} of {uuid}");
    }
    let diagnosis = doctor::examine(&*store).await.unwrap();
    assert_eq!(diagnosis.problems, Vec::<String>::new());
    assert!(core.shutdown().await.is_balanced());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o14_a_rolling_restart_strands_and_doubles_nothing_on_one_file() {
    roll(Place::file()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o14_a_rolling_restart_strands_and_doubles_nothing_on_one_server() {
    roll(Place::server().await).await;
}
