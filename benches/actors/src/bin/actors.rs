//! Compares the cost of actors. `--help` lists the modes.

use clap::{Parser, Subcommand};
use postroom_actors_bench::{compare, latency, save, scale};
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "What actors cost: all libraries under all workloads, or one of the modes below")]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    compare: compare::Options,
    #[command(subcommand)]
    mode: Option<Mode>,
}

#[derive(Subcommand)]
enum Mode {
    /// Percentiles of an ask when 64 askers contend for a mailbox of 16.
    Latency(latency::Options),
    /// Start, answer and stop of very many idle actors, and their memory.
    Scale(scale::Options),
    /// One case of `scale`.
    #[command(hide = true)]
    ScaleCase(scale::Case),
}

fn run(arguments: &Arguments) -> Result<(), String> {
    match &arguments.mode {
        None => save(
            arguments.compare.json.as_deref(),
            &compare::compare(&arguments.compare)?,
        ),
        Some(Mode::Latency(options)) => save(options.json.as_deref(), &latency::compare(options)?),
        Some(Mode::Scale(options)) => save(options.json.as_deref(), &scale::table(options)?),
        Some(Mode::ScaleCase(case)) => {
            println!("{}", scale::case(case)?);
            Ok(())
        }
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
