//! A steady stream of workflows while another connection holds a snapshot, so that no dead row can be taken
//! away.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection, Executor};

use crate::database::{Database, Kind};
use crate::engine::{Engine, Load};
use crate::report::{percentile, rounded};

/// How long each look at the rate is.
const WINDOW: Duration = Duration::from_secs(10);

/// Only where there are such snapshots.
pub(crate) async fn measure(kind: &Kind, load: Load, rate: f64, seconds: u64) -> Option<Value> {
    let database = kind.database().await;
    let Database::Postgres(postgres) = &database else {
        return None;
    };
    let workflows = (rate * seconds as f64) as usize;
    let load = Load { workflows, ..load };
    let engine = Engine::start(&database, load.concurrency, workflows).await;
    let mut holder = postgres.connect().await;
    holder
        .execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await
        .expect("it begins");
    holder
        .execute("SELECT count(*) FROM postroom.tasks")
        .await
        .expect("it reads");
    let seen = std::sync::Arc::clone(&engine.seen);
    let window = WINDOW.min(Duration::from_secs(seconds.div_ceil(4).max(1)));
    let watch = tokio::spawn(async move {
        let mut rates = Vec::new();
        let mut ended = seen.ended();
        let mut since = tokio::time::Instant::now();
        while ended < workflows && rates.len() < 200 {
            tokio::time::sleep_until(since + window).await;
            let (now, until) = (seen.ended(), tokio::time::Instant::now());
            rates.push((now - ended) as f64 / (until - since).as_secs_f64());
            (ended, since) = (now, until);
        }
        rates
    });
    let (last, _) = (0, ());
    let started = std::time::Instant::now();
    engine.submit_all(load, Some(rate)).await;
    let submitted = started.elapsed();
    while database.unfinished(last).await.1 > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let elapsed = started.elapsed();
    let mut rates = watch.await.expect("it does not panic");
    // The last look is not over a whole window.
    rates.pop();
    let dead: (i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(n_dead_tup), 0)::bigint, 0::bigint FROM pg_stat_user_tables WHERE schemaname = 'postroom'",
    )
    .fetch_one(&mut postgres.connect().await)
    .await
    .expect("it can be read");
    holder.close().await.expect("it closes");
    engine.stop().await;
    let in_order: Vec<f64> = rates.iter().map(|rate| rounded(*rate)).collect();
    Some(json!({
        "offered_per_second": rate,
        "seconds": seconds,
        "submitting_took_seconds": rounded(submitted.as_secs_f64()),
        "kept": rounded(workflows as f64 / elapsed.as_secs_f64() / rate),
        "kept_in_the_slowest_window": rounded(percentile(&mut rates, 0.0) / rate),
        "windows_per_second": in_order,
        "dead_rows": dead.0,
    }))
}
