//! What is submitted: random graphs of steps.

use std::sync::Arc;

use fastrand::Rng;

use crate::orchestration::state::FailurePolicy;
use crate::orchestration::template::{Backoff, RetryPolicy, TaskTemplate};

/// The handler of every step.
pub(super) const WORK: &str = "work";

pub(super) fn template(number: usize, rng: &mut Rng) -> Result<Arc<TaskTemplate>, String> {
    let policy = if rng.u8(0..3) == 0 {
        FailurePolicy::FailFast
    } else {
        FailurePolicy::Continue
    };
    let mut builder = TaskTemplate::builder(format!("shape-{number}")).failure_policy(policy);
    let density = rng.f64() * 0.8;
    let mut earlier = Vec::new();
    for index in 0..rng.usize(1..7) {
        let parents: Vec<_> = earlier.iter().filter(|_| rng.f64() < density).collect();
        let retry = RetryPolicy {
            max_attempts: rng.u32(1..4),
            backoff: Backoff::Exponential,
            backoff_base_ms: 500,
            max_backoff_ms: 4_000,
            ..RetryPolicy::default()
        };
        let step = builder
            .step(format!("step {index}"), WORK)
            .after(parents)
            .retry(retry)
            .add();
        earlier.push(step);
    }
    let template = builder.build().map_err(|errors| errors.to_string())?;
    Ok(Arc::new(template))
}
