//! Durable workflows against the databases they run on.
//!
//! A linear workflow of four steps that do nothing, every commit durable, through the engine and, in the same
//! run, through a plain SQL loop over one connection that writes the same rows. See `../README.md`.

mod database;
mod engine;
mod plain;
mod report;
mod rows;
#[path = "../../../tests/server/mod.rs"]
#[allow(dead_code, reason = "tests do more with it")]
mod server;

use clap::{Parser, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::database::Kind;
use crate::engine::Load;

/// Measures workflows through the engine and through a plain SQL loop. Prints a table, or JSON.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Which databases.
    #[arg(long, value_delimiter = ',', default_values = ["sqlite", "postgres"])]
    database: Vec<Which>,
    /// Which rows of the table.
    #[arg(long, value_delimiter = ',', default_values =
        ["throughput", "latency", "across", "idle", "costs", "shapes"])]
    only: Vec<Row>,
    /// Small numbers: shows that everything works, and nothing else.
    #[arg(long)]
    quick: bool,
    /// Where SQLite files are made. Default: a temporary folder.
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
    /// Batches of the plain loop.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 500])]
    batches: Vec<usize>,
    /// Workflows one at a time.
    #[arg(long, default_value_t = 500)]
    latency: usize,
    /// Workflows one at a time, run by another process.
    #[arg(long, default_value_t = 200)]
    across: usize,
    /// Finished tasks in the tables, for `finished`.
    #[arg(long, default_value_t = 1_000_000)]
    finished: usize,
    /// Workflows per second offered, for `snapshot`.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// Seconds that the snapshot is held.
    #[arg(long, default_value_t = 300)]
    snapshot: u64,
    /// Seconds to be idle.
    #[arg(long, default_value_t = 20)]
    idle: u64,
    /// Steps of the largest workflow, for `shapes`.
    #[arg(long, default_value_t = 10_000)]
    steps: usize,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The other process of the row `across`.
    #[command(hide = true)]
    Worker { url: String },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Sqlite,
    Postgres,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Row {
    /// Engine and plain loop, in turn.
    Throughput,
    /// One at a time, in one process.
    Latency,
    /// From one process to another.
    Across,
    /// Throughput beside finished tasks.
    Finished,
    /// A steady stream while a snapshot is held.
    Snapshot,
    /// Queries of an idle process.
    Idle,
    /// Commits, rows and bytes per workflow.
    Costs,
    /// Time per step of large workflows.
    Shapes,
}

impl Args {
    fn quick(&mut self) {
        self.workflows = 500;
        self.rounds = 1;
        self.batches = vec![100];
        self.latency = 20;
        self.across = 5;
        self.finished = 1_000;
        self.rate = 100.0;
        self.snapshot = 2;
        self.idle = 2;
        self.steps = 100;
    }

    async fn measure(&self, kind: &Kind) -> Value {
        let load = Load {
            workflows: self.workflows,
            submitters: self.submitters,
            concurrency: self.concurrency,
        };
        let sizes: Vec<usize> = [100, 1_000, 10_000]
            .into_iter()
            .filter(|size| *size <= self.steps)
            .collect();
        let mut rows = Map::new();
        for row in &self.only {
            let measured = match row {
                Row::Throughput => {
                    Some(rows::throughput::measure(kind, load, self.rounds, &self.batches).await)
                }
                Row::Latency => Some(rows::latency::measure(kind, self.latency).await),
                Row::Across => Some(rows::across::measure(kind, self.across).await),
                Row::Finished => Some(
                    rows::throughput::beside_finished(kind, load, self.rounds, self.finished).await,
                ),
                Row::Snapshot => {
                    rows::snapshot::measure(kind, load, self.rate, self.snapshot).await
                }
                Row::Idle => Some(rows::idle::measure(kind, self.idle).await),
                Row::Costs => Some(rows::costs::measure(kind, load).await),
                Row::Shapes => Some(rows::shapes::measure(kind, &sizes, self.rounds).await),
            };
            if let (Some(measured), Some(name)) = (measured, row.to_possible_value()) {
                rows.insert(name.get_name().to_owned(), measured);
            }
        }
        Value::Object(rows)
    }
}

#[tokio::main]
async fn main() {
    let mut args = Args::parse();
    if let Some(Command::Worker { url }) = &args.command {
        rows::across::worker(url).await;
        return;
    }
    if args.quick {
        args.quick();
    }
    let mut results = Map::new();
    for which in &args.database {
        let kind = match which {
            Which::Sqlite => Kind::sqlite(args.folder.as_deref()),
            Which::Postgres => Kind::postgres(),
        };
        results.insert(kind.name().to_owned(), args.measure(&kind).await);
    }
    let load = json!({ "workflows": args.workflows, "submitters": args.submitters, "concurrency": args.concurrency });
    results.insert("load".to_owned(), load);
    let results = Value::Object(results);
    if args.json {
        println!("{results}");
    } else {
        for (name, value) in results.as_object().into_iter().flatten() {
            report::print(name, value);
        }
    }
}
