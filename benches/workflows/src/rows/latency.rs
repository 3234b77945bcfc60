//! One workflow after another, in one process.

use std::time::Instant;

use postroom::orchestration::state::TaskState;
use serde_json::{Value, json};

use crate::database::Kind;
use crate::engine::Engine;
use crate::report::{rounded, spread};

pub(crate) async fn measure(kind: &Kind, workflows: usize) -> Value {
    let database = kind.database().await;
    let engine = Engine::start(&database, 16, usize::MAX).await;
    let (mut complete, mut first_step) = (Vec::new(), Vec::new());
    let warm = workflows / 10;
    let mut commits = 0;
    for number in 0..warm + workflows {
        if number == warm {
            commits = engine.opened.commits();
        }
        let started = Instant::now();
        let task = engine.submit(number).await;
        let record = task.wait().await.expect("it can be read");
        let elapsed = started.elapsed();
        assert_eq!(record.state, TaskState::Complete);
        let first = engine.seen.take_first().expect("it has started");
        if number >= warm {
            complete.push(elapsed.as_secs_f64() * 1_000.0);
            first_step.push((first - started).as_secs_f64() * 1_000.0);
        }
    }
    let commits = (engine.opened.commits() - commits) as f64 / workflows as f64;
    engine.stop().await;
    json!({
        "submit_to_complete_ms": spread(&mut complete),
        "submit_to_first_step_ms": spread(&mut first_step),
        "commits_per_workflow": rounded(commits),
    })
}
