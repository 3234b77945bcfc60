//! Counts allocations and bytes. A binary of its own, since its allocator would slow the others down.

use clap::Parser;
use postroom_actors_bench::counts::{Options, table};
use postroom_actors_bench::save;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn run() -> Result<(), String> {
    let options = Options::parse();
    let figures = table(&options)?;
    save(options.json.as_deref(), &figures)
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
