//! Workflows of many shapes: each step runs once, parents before children, the same on every database.
//!
//! The shapes are generated; with `POSTROOM_WORKFLOWS` naming a folder, every template in it is run too.

use std::path::PathBuf;
use std::sync::Arc;

use postroom::orchestration::state::{StepState, TaskState};
use postroom::orchestration::store::{HistoryKind, Store};
use postroom::orchestration::template::{StepRef, TaskTemplate, TemplateBuilder};
use postroom::orchestration::worker::{StepHandlers, builtin};
use postroom::orchestration::{OrchestrationConfig, OrchestrationCore};
use uuid::Uuid;

async fn start(store: &Arc<dyn Store>, concurrency: usize) -> OrchestrationCore {
    let (handlers, _) = builtin::register(StepHandlers::new(), Uuid::now_v7());
    OrchestrationCore::builder(Arc::clone(store))
        .handlers(handlers.build().unwrap())
        .config(OrchestrationConfig {
            concurrency,
            ..OrchestrationConfig::default()
        })
        .start()
        .await
        .unwrap()
}

/// Runs a template to its end and checks that every step ran once and after its parents.
async fn run(template: TaskTemplate, core: &OrchestrationCore, store: &Arc<dyn Store>) {
    let template = Arc::new(template);
    let name = template.name().to_owned();
    let task = core.submit(&template, ()).await.unwrap();
    let record = task.wait().await.unwrap();
    assert_eq!(
        record.state,
        TaskState::Complete,
        "{name}: {:?}",
        record.reason
    );
    let steps = store.steps(task.uuid()).await.unwrap();
    assert_eq!(steps.len(), template.steps().len());
    for (position, step) in steps.iter().enumerate() {
        assert_eq!(step.state, StepState::Complete, "{name}: {}", step.name);
        assert_eq!(
            (step.attempts, step.lost_leases),
            (1, 0),
            "{name}: {}",
            step.name
        );
        for &parent in template.graph().parents(position) {
            assert!(
                steps[parent].ended_at <= step.started_at,
                "{name}: {} started before {} had ended",
                step.name,
                steps[parent].name
            );
        }
    }
    let attempts = store.history(task.uuid()).await.unwrap();
    let attempts = attempts
        .iter()
        .filter(|row| row.kind == HistoryKind::Attempt)
        .count();
    assert_eq!(attempts, steps.len(), "{name}: one attempt of each step");
    assert_eq!(store.audit().await.unwrap(), Vec::<String>::new(), "{name}");
}

fn template(name: &str, shape: impl FnOnce(&mut TemplateBuilder)) -> TaskTemplate {
    let mut builder = TaskTemplate::builder(name).namespace("shapes");
    shape(&mut builder);
    builder.build().unwrap()
}

fn chain(length: usize) -> TaskTemplate {
    template("chain", |builder| {
        let mut last: Option<StepRef> = None;
        for n in 0..length {
            last = Some(builder.step(format!("s{n}"), "noop").after(&last).add());
        }
    })
}

fn fork_join(width: usize) -> TaskTemplate {
    template("fork_join", |builder| {
        let top = builder.step("top", "noop").add();
        let middle: Vec<_> = (0..width)
            .map(|n| builder.step(format!("m{n}"), "noop").after([&top]).add())
            .collect();
        builder.step("bottom", "noop").after(&middle);
    })
}

/// Every step of a layer depends on every step of the one before.
fn lattice(layers: usize, width: usize) -> TaskTemplate {
    template("lattice", |builder| {
        let mut above: Vec<StepRef> = Vec::new();
        for layer in 0..layers {
            above = (0..width)
                .map(|n| {
                    builder
                        .step(format!("l{layer}_{n}"), "noop")
                        .after(&above)
                        .add()
                })
                .collect();
        }
    })
}

/// A binary tree that grows and shrinks again.
fn tree(depth: u32) -> TaskTemplate {
    template("tree", |builder| {
        let mut layer = vec![builder.step("root", "noop").add()];
        for level in 0..depth {
            layer = layer
                .iter()
                .enumerate()
                .flat_map(|(n, parent)| {
                    ["l", "r"].map(|side| {
                        builder
                            .step(format!("d{level}_{n}{side}"), "noop")
                            .after([parent])
                            .add()
                    })
                })
                .collect();
        }
        while layer.len() > 1 {
            let width = layer.len();
            layer = layer
                .chunks(2)
                .enumerate()
                .map(|(n, pair)| {
                    builder
                        .step(format!("u{width}_{n}"), "noop")
                        .after(pair)
                        .add()
                })
                .collect();
        }
    })
}

/// The generated shapes on an empty database.
pub(crate) async fn generated(store: Arc<dyn Store>) {
    let core = start(&store, 16).await;
    for shape in [chain(30), fork_join(300), lattice(5, 12), tree(6)] {
        run(shape, &core, &store).await;
    }
    let report = core.shutdown().await;
    assert!(report.is_balanced(), "{report}");
}

/// The templates of the folder, if one is named, on an empty database.
pub(crate) async fn of_the_folder(store: Arc<dyn Store>) {
    let Some(workflows) = std::env::var_os("POSTROOM_WORKFLOWS") else {
        println!("POSTROOM_WORKFLOWS names no folder: nothing to run");
        return;
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(workflows)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the folder holds no template");
    let core = start(&store, 512).await;
    for file in files {
        run(TaskTemplate::load(&file).unwrap(), &core, &store).await;
    }
    let report = core.shutdown().await;
    assert!(report.is_balanced(), "{report}");
}
