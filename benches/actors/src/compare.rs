//! All libraries under all workloads, on both runtimes, in interleaved rounds.

use crate::entry::{BASELINE, Entry, Workload, select};
use crate::runtimes::{Flavor, Runtimes};
use crate::stats::{Ratio, geometric_mean, median, nanos_each};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Interleaved rounds that count.
    #[arg(long, default_value_t = 11)]
    pub rounds: usize,
    /// Operations for each sample, instead of as many as take `--sample-ms`.
    #[arg(long)]
    pub ops: Option<u64>,
    /// How long a sample is to take.
    #[arg(long, default_value_t = 20)]
    pub sample_ms: u64,
    /// Some workloads instead of all, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<Workload>,
    /// Words in the names of the libraries to measure, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub libs: Vec<String>,
    /// One runtime instead of both.
    #[arg(long)]
    pub runtime: Option<Flavor>,
    /// Where to write all figures as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// A sample that is shorter than this says little.
const SHORTEST: Duration = Duration::from_millis(10);

/// What one library did under one workload: ns per operation, by round.
struct Row {
    ns: Vec<f64>,
    short_samples: usize,
}

/// Measures and prints; returns the figures.
pub fn compare(options: &Options) -> Result<Value, String> {
    let libraries = select(&options.libs)?;
    let on = Runtimes::default();
    let wanted = |workload: &Workload| options.only.is_empty() || options.only.contains(workload);
    let core: Vec<_> = Workload::CORE.into_iter().filter(wanted).collect();
    let further: Vec<_> = Workload::FURTHER.into_iter().filter(wanted).collect();
    let mut figures = Vec::new();
    let mut means = Vec::new();
    for flavor in Flavor::ALL {
        if options.runtime.is_some_and(|only| only != flavor) {
            continue;
        }
        println!(
            "\n{}: median ns per operation over {} rounds, paired ratio to `{}` (min-max)",
            flavor.name(),
            options.rounds,
            BASELINE.name(),
        );
        if libraries.iter().any(|library| library.is_on_arbiter()) {
            println!("(actix on its own arbiter, whichever runtime the others are on)");
        }
        let mut ratios = vec![Vec::new(); libraries.len()];
        let mut short = Vec::new();
        for workloads in [&core, &further] {
            let mut columns = Vec::new();
            for workload in workloads {
                let rows = measure(&libraries, &on, flavor, *workload, options);
                columns.push(summarise(
                    &libraries,
                    flavor,
                    *workload,
                    rows,
                    &mut figures,
                    &mut short,
                ));
            }
            print(&libraries, workloads, &columns);
            for (at, ratios) in ratios.iter_mut().enumerate() {
                ratios.push(
                    columns
                        .iter()
                        .map(|column| column[at].as_ref().map(|cell| cell.1.median))
                        .collect::<Vec<_>>(),
                );
            }
        }
        if !short.is_empty() {
            println!(
                "\nsamples shorter than {SHORTEST:?}, which say little: {}",
                short.join(", ")
            );
        }
        println!("\n{:<24}{:>12}{:>12}", "geometric mean", "first 7", "all");
        for (library, ratios) in libraries.iter().zip(&ratios) {
            let of_core: Vec<_> = ratios[0].iter().copied().flatten().collect();
            let of_all: Vec<_> = ratios.iter().flatten().copied().flatten().collect();
            let (of_core, of_all) = (geometric_mean(&of_core), geometric_mean(&of_all));
            println!("{:<24}{of_core:>12.3}{of_all:>12.3}", library.name());
            means.push(json!({
                "runtime": flavor.name(), "library": library.name(),
                "geometric_mean_core": of_core, "geometric_mean_all": of_all,
            }));
        }
    }
    Ok(json!({ "mode": "compare", "figures": figures, "means": means }))
}

/// Runs the rounds of one workload. A library that cannot do it has no row.
fn measure(
    libraries: &[&dyn Entry],
    on: &Runtimes,
    flavor: Flavor,
    workload: Workload,
    options: &Options,
) -> Vec<Option<Row>> {
    let able = |library: &dyn Entry| library.is_bounded() || !workload.needs_bound();
    let mut operations: Vec<_> = libraries
        .iter()
        .map(|library| match options.ops {
            _ if !able(*library) => 0,
            Some(operations) => operations,
            None => calibrate(*library, on, flavor, workload, options.sample_ms),
        })
        .collect();
    let mut rows: Vec<_> = libraries
        .iter()
        .map(|library| {
            able(*library).then(|| Row {
                ns: Vec::with_capacity(options.rounds),
                short_samples: 0,
            })
        })
        .collect();
    for round in 0..options.rounds {
        for turn in 0..libraries.len() {
            // Each round begins with another library, so that none has always the same one before it.
            let at = (round + turn) % libraries.len();
            if let Some(row) = &mut rows[at] {
                let take = |operations| libraries[at].sample(on, flavor, workload, operations);
                let (mut took, mut done) = take(operations[at]);
                // The machine was slower when the number was chosen.
                for _ in 0..3 {
                    if took >= SHORTEST || options.ops.is_some() {
                        break;
                    }
                    operations[at] = enough(took, done, options.sample_ms);
                    (took, done) = take(operations[at]);
                }
                row.ns.push(nanos_each(took, done));
                row.short_samples += usize::from(took < SHORTEST);
            }
        }
    }
    rows
}

/// How many operations take as long as a sample is to take.
fn calibrate(library: &dyn Entry, on: &Runtimes, flavor: Flavor, of: Workload, ms: u64) -> u64 {
    let mut operations = 64;
    loop {
        let (took, done) = library.sample(on, flavor, of, operations);
        if took >= Duration::from_millis(ms) / 4 {
            return enough(took, done, ms);
        }
        operations = done * 4;
    }
}

/// So many operations took so long; how many take that many milliseconds?
fn enough(took: Duration, done: u64, ms: u64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few millions"
    )]
    return (ms as f64 * 1e6 / nanos_each(took, done)) as u64;
}

type Cell = (f64, Ratio);

fn summarise(
    libraries: &[&dyn Entry],
    flavor: Flavor,
    workload: Workload,
    rows: Vec<Option<Row>>,
    figures: &mut Vec<Value>,
    short: &mut Vec<String>,
) -> Vec<Option<Cell>> {
    let base = libraries
        .iter()
        .zip(&rows)
        .find(|(library, _)| library.name() == BASELINE.name())
        .and_then(|(_, row)| row.as_ref())
        .map_or_else(Vec::new, |row| row.ns.clone());
    let cell = |(library, row): (&&dyn Entry, Option<Row>)| {
        let row = row?;
        let ns = median(&row.ns);
        let ratio = Ratio::paired(&row.ns, &base);
        if row.short_samples > 0 {
            let (library, workload) = (library.name(), workload.name());
            short.push(format!("{library} {workload} {}", row.short_samples));
        }
        figures.push(json!({
            "runtime": flavor.name(), "workload": workload.name(), "library": library.name(),
            "ns": ns, "ratio": ratio.median, "ratio_min": ratio.min, "ratio_max": ratio.max,
            "rounds": row.ns,
        }));
        Some((ns, ratio))
    };
    libraries.iter().zip(rows).map(cell).collect()
}

const WIDTH: usize = 23;

fn print(libraries: &[&dyn Entry], workloads: &[Workload], columns: &[Vec<Option<Cell>>]) {
    if workloads.is_empty() {
        return;
    }
    print!("\n{:<24}", "");
    for workload in workloads {
        print!("{:>WIDTH$}", workload.name());
    }
    println!();
    for (at, library) in libraries.iter().enumerate() {
        print!("{:<24}", library.name());
        for column in columns {
            let text = match &column[at] {
                Some((ns, ratio)) => format!(
                    "{ns:.0} {:.2} ({:.2}-{:.2})",
                    ratio.median, ratio.min, ratio.max
                ),
                None => "no bound".to_owned(),
            };
            print!("{text:>WIDTH$}");
        }
        println!();
    }
}
