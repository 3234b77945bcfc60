//! Durable workflows against the database they run on.
//!
//! A linear workflow of four steps that do nothing, every commit durable, through the engine and, in the same
//! run, through a plain SQL loop over one connection that writes the same rows. See `../README.md`.

mod database;
mod engine;
mod plain;
mod report;

use clap::Parser;
use serde_json::json;

use crate::database::Database;
use crate::report::{median, percentile};

/// Measures workflows through the engine and through a plain SQL loop. Prints a table, or JSON.
#[derive(Debug, Parser)]
struct Args {
    /// Where databases are made: a folder for SQLite files. Default: a temporary folder.
    #[arg(long)]
    folder: Option<std::path::PathBuf>,
    /// Workflows per round.
    #[arg(long, default_value_t = 20_000)]
    workflows: usize,
    /// Callers that submit at the same time.
    #[arg(long, default_value_t = 64)]
    submitters: usize,
    /// Steps that may run at once.
    #[arg(long, default_value_t = 256)]
    concurrency: usize,
    /// Rounds; medians are reported.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Finished tasks to put into the tables for the last measurement; 0 leaves it out.
    #[arg(long, default_value_t = 0)]
    finished: usize,
    /// Workflows one at a time.
    #[arg(long, default_value_t = 500)]
    latency: usize,
    /// Seconds to be idle.
    #[arg(long, default_value_t = 10)]
    idle: u64,
    /// Only the engine's throughput: for a profiler.
    #[arg(long)]
    throughput_only: bool,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let scratch = match &args.folder {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    }
    .expect("a scratch folder can be made");
    let place = |name: &str| Database::sqlite(scratch.path().join(name));
    let load = engine::Load {
        workflows: args.workflows,
        submitters: args.submitters,
        concurrency: args.concurrency,
    };

    if args.throughput_only {
        for round in 0..args.rounds {
            let rate = engine::throughput(&place(&format!("only{round}.db")), load).await;
            println!("{rate:.0} workflows/s");
        }
        return;
    }

    let batches = [1, 10, 100, 500];
    let mut engine_rates = Vec::new();
    let mut plain_rates = vec![Vec::new(); batches.len()];
    for round in 0..args.rounds {
        // Interleaved, so that a slow moment of the machine hits all of them.
        engine_rates.push(engine::throughput(&place(&format!("e{round}.db")), load).await);
        for (rates, batch) in plain_rates.iter_mut().zip(batches) {
            let workflows = args.workflows.min(400 * batch).max(batch);
            let database = place(&format!("p{round}-{batch}.db"));
            rates.push(plain::throughput(&database, workflows, batch).await);
        }
    }
    let engine_rate = median(&mut engine_rates);
    let plain_rates: Vec<f64> = plain_rates.iter_mut().map(|rates| median(rates)).collect();
    let mut latency = engine::latency(&place("latency.db"), args.latency).await;
    let costs = engine::costs(&place("costs.db"), load).await;
    let idle = engine::idle(&place("idle.db"), args.idle).await;
    let laden = if args.finished > 0 {
        let database = place("laden.db");
        database.fill(args.finished).await;
        let mut rates = Vec::new();
        for _ in 0..args.rounds {
            rates.push(engine::throughput(&database, load).await);
        }
        Some(median(&mut rates))
    } else {
        None
    };

    let p50 = |times: &mut Vec<f64>| percentile(times, 0.5);
    let p99 = |times: &mut Vec<f64>| percentile(times, 0.99);
    let result = json!({
        "workflows": args.workflows, "submitters": args.submitters, "concurrency": args.concurrency,
        "engine_per_second": engine_rate,
        "plain_per_second": batches.iter().zip(&plain_rates)
            .map(|(batch, rate)| (batch.to_string(), json!(rate))).collect::<serde_json::Map<_, _>>(),
        "engine_to_plain_100": engine_rate / plain_rates[2],
        "submit_to_complete_ms": { "p50": p50(&mut latency.complete), "p99": p99(&mut latency.complete) },
        "submit_to_first_step_ms": { "p50": p50(&mut latency.first_step), "p99": p99(&mut latency.first_step) },
        "one_at_a_time_commits_per_workflow": latency.commits,
        "under_load": { "commits_per_workflow": costs.commits, "row_writes_per_workflow": costs.rows,
            "log_bytes_per_workflow": costs.log_bytes },
        "idle_transactions_per_second": idle,
        "finished_tasks": args.finished,
        "engine_per_second_beside_finished": laden,
        "kept_beside_finished": laden.map(|rate| rate / engine_rate),
    });
    if args.json {
        println!("{result}");
    } else {
        report::print(&result);
    }
}
