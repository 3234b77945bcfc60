//! Very many idle actors: how long they take to start, answer and stop, and how much memory at most.

use crate::entry::LIBRARIES;
use crate::library::{Fleet, Library, Subject, Unregistered};
use crate::runtimes::{Flavor, Runtimes};
use crate::work::Plain;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub struct Scaled {
    pub start: Duration,
    pub answer: Duration,
    pub stop: Duration,
    /// The process's peak, less what it had used before the first actor.
    pub peak_bytes: u64,
}

pub async fn scale<L: Library>(registered: bool, count: usize) -> Scaled {
    if registered {
        fleet::<L::Registered>(count).await
    } else {
        fleet::<Unregistered<L::Counter<Plain>>>(count).await
    }
}

async fn fleet<F: Fleet>(count: usize) -> Scaled {
    let before = peak_bytes();
    let mut fleet = F::with_capacity(count);
    let begun = Instant::now();
    fleet.start(count).await;
    let start = begun.elapsed();
    let begun = Instant::now();
    for actor in fleet.actors() {
        actor.tell(1).await;
        assert_eq!(actor.ask(1).await, 2);
    }
    let answer = begun.elapsed();
    let begun = Instant::now();
    fleet.stop().await;
    let stop = begun.elapsed();
    Scaled {
        start,
        answer,
        stop,
        peak_bytes: peak_bytes() - before,
    }
}

/// The most memory that this process ever had.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it there");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line
        .and_then(|line| line.split_whitespace().nth(1))
        .expect("Linux tells it");
    kib.parse::<u64>().expect("a number") * 1024
}

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Words in the names of the libraries to measure, separated by commas.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "postroom as shipped,hand"
    )]
    pub libs: Vec<String>,
    /// How many that no registry holds.
    #[arg(long, default_value_t = 1_000_000)]
    pub unregistered: usize,
    /// How many that a registry holds.
    #[arg(long, default_value_t = 100_000)]
    pub registered: usize,
    #[arg(long, default_value = "multi")]
    pub runtime: Flavor,
    /// Where to write the figures as JSON.
    #[arg(long)]
    pub json: Option<std::path::PathBuf>,
}

/// One case in a process of its own, since a process's peak never falls.
#[derive(clap::Args, Debug)]
pub struct Case {
    #[arg(long)]
    pub lib: String,
    #[arg(long)]
    pub registered: bool,
    #[arg(long)]
    pub count: usize,
    #[arg(long)]
    pub runtime: Flavor,
}

pub fn case(case: &Case) -> Result<Value, String> {
    let library = LIBRARIES
        .iter()
        .find(|library| library.name() == case.lib)
        .ok_or_else(|| format!("no library is called `{}`", case.lib))?;
    let scaled = library.scale(
        &Runtimes::default(),
        case.runtime,
        case.registered,
        case.count,
    );
    Ok(json!({
        "library": case.lib,
        "registered": case.registered,
        "actors": case.count,
        "start_s": scaled.start.as_secs_f64(),
        "answer_s": scaled.answer.as_secs_f64(),
        "stop_s": scaled.stop.as_secs_f64(),
        "peak_bytes": scaled.peak_bytes,
    }))
}

/// Measures and prints; returns the figures.
pub fn table(options: &Options) -> Result<Value, String> {
    println!(
        "{}; seconds for all actors; peak memory for each\n",
        options.runtime.name()
    );
    println!(
        "{:<24}{:<14}{:>10}{:>10}{:>10}{:>10}{:>14}",
        "", "", "actors", "start", "answer", "stop", "bytes/actor"
    );
    let mut figures = Vec::new();
    for (registered, count) in [(false, options.unregistered), (true, options.registered)] {
        for library in LIBRARIES {
            let name = library.name();
            if count == 0 || !options.libs.iter().any(|word| name.contains(&**word)) {
                continue;
            }
            let figure = in_own_process(name, registered, count, options.runtime)?;
            let seconds = |key: &str| figure[key].as_f64().unwrap_or(f64::NAN);
            let actors = u64::try_from(count).map_err(|error| error.to_string())?;
            println!(
                "{name:<24}{:<14}{count:>10}{:>10.2}{:>10.2}{:>10.2}{:>14}",
                if registered {
                    "registered"
                } else {
                    "unregistered"
                },
                seconds("start_s"),
                seconds("answer_s"),
                seconds("stop_s"),
                figure["peak_bytes"].as_u64().unwrap_or(0) / actors,
            );
            figures.push(figure);
        }
    }
    Ok(json!({ "mode": "scale", "runtime": options.runtime.name(), "figures": figures }))
}

fn in_own_process(
    library: &str,
    registered: bool,
    count: usize,
    runtime: Flavor,
) -> Result<Value, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let runtime = match runtime {
        Flavor::Multi => "multi",
        Flavor::Current => "current",
    };
    let count = count.to_string();
    let mut command = Command::new(program);
    command.args([
        "scale-case",
        "--lib",
        library,
        "--count",
        &count,
        "--runtime",
        runtime,
    ]);
    if registered {
        command.arg("--registered");
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{library} with {count} actors: {}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}
