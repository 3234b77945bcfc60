//! The `postroom` command line.

mod args;
mod cleanup;
mod clock;
mod database;
mod doctor;
mod exit;
mod handlers;
mod input;
mod output;
mod progress;
mod run;
mod signals;
mod submit;
mod table;
mod task;
mod template;
mod worker;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};
use crate::exit::Failure;

/// What a blocking thread may still take once everything else is done.
const LAST_THREADS: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return Failure::trouble(&error).report().into(),
    };
    let ended = runtime.block_on(async {
        match &cli.command {
            Command::Run(args) => run::run(args).await,
            Command::Template(command) => template::template(command),
            Command::Task(command) => task::task(command).await,
            Command::Submit(args) => submit::submit(args).await,
            Command::Worker(args) => worker::worker(args).await,
            Command::Orchestrator(args) => worker::orchestrator(args).await,
            Command::Doctor { database, json } => doctor::doctor(database, *json).await,
            Command::Cleanup(args) => cleanup::cleanup(args).await,
        }
    });
    let status = ended.unwrap_or_else(|failure: Failure| failure.report());
    runtime.shutdown_timeout(LAST_THREADS);
    status.into()
}

/// What goes wrong inside is told on standard error; `POSTROOM_LOG` or `RUST_LOG` ask for more.
fn log() {
    let filter = EnvFilter::try_from_env("POSTROOM_LOG")
        .or_else(|_| EnvFilter::try_from_default_env())
        .unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(output::Paint::for_stderr().is_on())
        .init();
}
