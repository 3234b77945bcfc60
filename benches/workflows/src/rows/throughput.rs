//! Workflows per second: the engine's and the plain loop's, in turn; and the engine's beside finished tasks.

use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::database::{Database, Kind};
use crate::engine::{Engine, Load, one};
use crate::plain;
use crate::report::{median, rounded};

/// From the first call to the last recorded end.
pub(crate) async fn engine(database: &Database, load: Load) -> f64 {
    let engine = Engine::start(database, load.concurrency, load.workflows).await;
    let (last, _) = database.unfinished(0).await;
    let started = Instant::now();
    engine.run(load, database, last).await;
    let elapsed = started.elapsed();
    engine.stop().await;
    load.workflows as f64 / elapsed.as_secs_f64()
}

/// Interleaved, so that a slow moment of the machine hits all of them.
pub(crate) async fn measure(kind: &Kind, load: Load, rounds: usize, batches: &[usize]) -> Value {
    let mut engines = Vec::new();
    let mut loops = vec![Vec::new(); batches.len()];
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let rate = engine(&kind.database().await, load).await;
        engines.push(rate);
        for (rates, &batch) in loops.iter_mut().zip(batches) {
            let workflows = load.workflows.min(200 * batch).max(batch);
            let plain = plain::throughput(&kind.database().await, workflows, batch).await;
            rates.push(plain);
            if batch == 100 {
                ratios.push(rate / plain);
            }
        }
    }
    let loops: Map<String, Value> = batches
        .iter()
        .zip(&mut loops)
        .map(|(batch, rates)| (batch.to_string(), json!(rounded(median(rates)))))
        .collect();
    json!({
        "engine_per_second": rounded(median(&mut engines)),
        "engine_rounds": engines.iter().map(|rate| rounded(*rate)).collect::<Vec<_>>(),
        "plain_per_second": loops,
        "engine_to_plain_100": rounded(median(&mut ratios)),
    })
}

/// In an empty database and in a full one, in turn.
pub(crate) async fn beside_finished(
    kind: &Kind,
    load: Load,
    rounds: usize,
    finished: usize,
) -> Value {
    let full = kind.database().await;
    one(&full).await;
    full.fill(finished).await;
    let (mut empty_rates, mut full_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let empty = engine(&kind.database().await, load).await;
        let beside = engine(&full, load).await;
        empty_rates.push(empty);
        full_rates.push(beside);
        ratios.push(beside / empty);
    }
    json!({
        "finished": finished,
        "empty_per_second": rounded(median(&mut empty_rates)),
        "beside_finished_per_second": rounded(median(&mut full_rates)),
        "kept": rounded(median(&mut ratios)),
    })
}
