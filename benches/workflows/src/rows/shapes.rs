//! The engine's own time for each step of large workflows whose steps do nothing.

use std::sync::Arc;
use std::time::Instant;

use postroom::orchestration::OrchestrationConfig;
use postroom::orchestration::state::TaskState;
use postroom::orchestration::template::{TaskTemplate, TemplateBuilder};
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use serde_json::{Map, Value, json};

use crate::database::Kind;
use crate::engine::Engine;
use crate::report::{median, rounded};

type Shape = fn(&mut TemplateBuilder, usize);

const SHAPES: [(&str, Shape); 3] = [("chain", chain), ("fan", fan), ("layers", layers)];

fn chain(template: &mut TemplateBuilder, steps: usize) {
    let mut before = template.step("0", "noop").add();
    for number in 1..steps {
        before = template
            .step(number.to_string(), "noop")
            .after([&before])
            .add();
    }
}

/// One, all others behind it, one that waits for them.
fn fan(template: &mut TemplateBuilder, steps: usize) {
    let first = template.step("0", "noop").add();
    let all: Vec<_> = (1..steps - 1)
        .map(|number| {
            template
                .step(number.to_string(), "noop")
                .after([&first])
                .add()
        })
        .collect();
    template
        .step((steps - 1).to_string(), "noop")
        .after(&all)
        .add();
}

/// Ten beside each other, each behind two of the ten before.
fn layers(template: &mut TemplateBuilder, steps: usize) {
    const WIDTH: usize = 10;
    let mut all = Vec::with_capacity(steps);
    for number in 0..steps {
        let (layer, place) = (number / WIDTH, number % WIDTH);
        let step = template.step(number.to_string(), "noop");
        let step = if layer == 0 {
            step.add()
        } else {
            let before = (layer - 1) * WIDTH;
            step.after([&all[before + place], &all[before + (place + 1) % WIDTH]])
                .add()
        };
        all.push(step);
    }
}

pub(crate) async fn measure(kind: &Kind, sizes: &[usize], rounds: usize) -> Value {
    let mut shapes = Map::new();
    for (name, shape) in SHAPES {
        let mut row = Map::new();
        for &steps in sizes {
            let mut template = TaskTemplate::builder(format!("{name}-{steps}"));
            shape(&mut template, steps);
            let template = Arc::new(template.build().expect("the template is valid"));
            let mut times = Vec::new();
            for _ in 0..rounds {
                times.push(once(kind, &template).await / steps as f64 * 1e6);
            }
            row.insert(steps.to_string(), json!(rounded(median(&mut times))));
        }
        shapes.insert(name.to_owned(), Value::Object(row));
    }
    json!({ "microseconds_per_step": shapes })
}

/// Seconds from the submission to the end.
async fn once(kind: &Kind, template: &Arc<TaskTemplate>) -> f64 {
    let database = kind.database().await;
    let handlers = StepHandlers::new()
        .register("noop", |_: Value, _: StepContext| async {
            Ok::<_, StepError>(())
        })
        .build()
        .expect("one handler");
    let config = OrchestrationConfig {
        concurrency: 256,
        ..OrchestrationConfig::default()
    };
    let engine = Engine::with(database.open().await, handlers, config, Arc::default()).await;
    let started = Instant::now();
    let task = engine
        .core
        .submit(template, ())
        .await
        .expect("it is accepted");
    let record = task.wait().await.expect("it can be read");
    let elapsed = started.elapsed();
    assert_eq!(record.state, TaskState::Complete);
    engine.stop().await;
    elapsed.as_secs_f64()
}
