//! How long workflows take against how long they must: `cargo bench --features cli --bench makespan -- DIR`.
//!
//! Runs every template in DIR whose steps are all `sleep`, each time on a new SQLite file with enough concurrency,
//! and compares the time from submission to the recorded end with the critical path: in this process, and as
//! `postroom run` in a new one, whose `elapsed_ms` (whole milliseconds, rounded down) counts from the submission
//! too. The budget is 1.05 x the critical path + 5 ms for each level of the graph. Exit status 1 if a median
//! misses it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroom::orchestration::state::TaskState;
use postroom::orchestration::store::Store;
use postroom::orchestration::store::sqlite::{SqliteOptions, SqliteStore};
use postroom::orchestration::template::TaskTemplate;
use postroom::orchestration::worker::{StepHandlers, builtin};
use postroom::orchestration::{
    IdentityStrategy, OrchestrationConfig, OrchestrationCore, SubmitOptions,
};
use uuid::Uuid;

const ROUNDS: usize = 9;

/// The longest path through the graph, by the seconds that the steps sleep.
fn critical_path(template: &TaskTemplate) -> Option<Duration> {
    let graph = template.graph();
    let mut ends = vec![0.0_f64; graph.len()];
    for &step in graph.topological_order() {
        let seconds = template.steps()[step].initialization()["seconds"].as_f64()?;
        let begins = graph
            .parents(step)
            .iter()
            .map(|&parent| ends[parent])
            .fold(0.0, f64::max);
        ends[step] = begins + seconds;
    }
    Some(Duration::from_secs_f64(
        ends.into_iter().fold(0.0, f64::max),
    ))
}

async fn measure(file: &Path, template: &Arc<TaskTemplate>) -> Duration {
    let store = SqliteStore::open(
        file.to_str().expect("a path of the system's own"),
        SqliteOptions::default(),
    )
    .await
    .expect("a new database opens");
    let store: Arc<dyn Store> = Arc::new(store);
    let (handlers, _) = builtin::register(StepHandlers::new(), Uuid::now_v7());
    let core = OrchestrationCore::builder(store)
        .handlers(
            handlers
                .build()
                .expect("the built-in handlers have different names"),
        )
        .config(OrchestrationConfig {
            concurrency: 1_024,
            ..OrchestrationConfig::default()
        })
        .start()
        .await
        .expect("the core starts");
    let options = SubmitOptions {
        identity: IdentityStrategy::Unique,
        ..SubmitOptions::default()
    };
    let started = Instant::now();
    let task = core
        .submit_with(template, (), options)
        .await
        .expect("it is accepted");
    let record = task.wait().await.expect("it can be read");
    let elapsed = started.elapsed();
    assert_eq!(record.state, TaskState::Complete);
    core.shutdown().await;
    elapsed
}

/// `elapsed_ms` of `postroom run`, in a new process.
fn measure_new_process(file: &Path, template: &Path) -> Duration {
    let output = Command::new(env!("CARGO_BIN_EXE_postroom"))
        .args(["run", "--json", "--concurrency", "1024", "--database"])
        .arg(file)
        .arg(template)
        .output()
        .expect("postroom starts");
    assert!(output.status.success(), "{output:?}");
    let stdout = String::from_utf8(output.stdout).expect("text");
    let last = stdout.lines().last().expect("a summary");
    let summary: serde_json::Value = serde_json::from_str(last).expect("JSON");
    Duration::from_millis(summary["elapsed_ms"].as_u64().expect("a number"))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() -> ExitCode {
    let Some(folder) = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
    else {
        println!("usage: cargo bench --features cli --bench makespan -- DIR");
        return ExitCode::SUCCESS;
    };
    // Relative to where the command was given; the bench itself runs in the package's folder.
    let folder = std::env::var_os("PWD").map_or_else(
        || PathBuf::from(&folder),
        |base| Path::new(&base).join(&folder),
    );
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("DIR can be read")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml" || extension == "json")
        })
        .collect();
    files.sort();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let mut missed = 0;
    println!(
        "{:<44} {:>5} {:>6} {:>11} {:>10} {:>14} {:>10}",
        "workflow", "steps", "levels", "critical ms", "median ms", "new process ms", "budget ms"
    );
    for file in files {
        let template = Arc::new(TaskTemplate::load(&file).expect("the template is valid"));
        let Some(critical) = critical_path(&template) else {
            println!("{:<44} has steps that do not sleep", template.name());
            continue;
        };
        let levels = u32::try_from(template.graph().depth()).unwrap_or(u32::MAX);
        let budget = critical.mul_f64(1.05) + Duration::from_millis(5) * levels;
        let scratch = tempfile::tempdir().expect("a scratch folder can be made");
        let database = |kind: &str, round| scratch.path().join(format!("{kind}{round}.db"));
        let mut inside = Vec::new();
        let mut outside = Vec::new();
        for round in 0..ROUNDS {
            inside.push(runtime.block_on(measure(&database("in", round), &template)));
            outside.push(measure_new_process(&database("new", round), &file));
        }
        let (inside, outside) = (median(inside), median(outside));
        let met = inside.max(outside) <= budget;
        missed += usize::from(!met);
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        println!(
            "{:<44} {:>5} {:>6} {:>11.1} {:>10.1} {:>14.0} {:>10.1} {}",
            template.name(),
            template.steps().len(),
            levels,
            ms(critical),
            ms(inside),
            ms(outside),
            ms(budget),
            if met { "met" } else { "MISSED" },
        );
    }
    if missed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
