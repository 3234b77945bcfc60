//! How long single asks take when 64 tasks contend for an actor whose mailbox holds 16.

use crate::entry::{BASELINE, Entry, select};
use crate::library::{Library, Subject};
use crate::runtimes::{Flavor, Runtimes, spawn};
use crate::stats::{Ratio, median, percentile};
use crate::work::Plain;
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};

const ASKERS: usize = 64;
const ROOM: usize = 16;
const PARTS: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// The durations of all asks, in ns, sorted.
pub async fn contend<L: Library>(asks_each: u64) -> Vec<u32> {
    let (actor, life) = L::Counter::<Plain>::start(ROOM).await;
    round::<L>(&actor, asks_each / 8).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut all = round::<L>(&actor, asks_each).await;
    actor.stop(life).await;
    all.sort_unstable();
    all
}

async fn round<L: Library>(actor: &L::Counter<Plain>, asks_each: u64) -> Vec<u32> {
    let room = usize::try_from(asks_each).expect("it fits into memory");
    let mut lists: Vec<Vec<u32>> = (0..ASKERS).map(|_| Vec::with_capacity(room)).collect();
    let mut tasks = Vec::with_capacity(ASKERS);
    for mut list in lists.drain(..) {
        let actor = actor.clone();
        tasks.push(spawn::<L, _>(async move {
            for _ in 0..asks_each {
                let begun = Instant::now();
                black_box(actor.ask(1).await);
                list.push(u32::try_from(begun.elapsed().as_nanos()).unwrap_or(u32::MAX));
            }
            list
        }));
    }
    let mut all = Vec::with_capacity(room * ASKERS);
    for task in tasks {
        all.extend(task.await.expect("an asker does not panic"));
    }
    all
}

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Interleaved rounds that count; one more warms up.
    #[arg(long, default_value_t = 11)]
    pub rounds: usize,
    /// Asks by each of the 64 askers.
    #[arg(long, default_value_t = 4000)]
    pub asks: u64,
    /// Words in the names of the libraries to measure, separated by commas.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "postroom always-queued,postroom as shipped"
    )]
    pub libs: Vec<String>,
    /// One runtime instead of both.
    #[arg(long)]
    pub runtime: Option<Flavor>,
    /// Where to write the figures as JSON.
    #[arg(long)]
    pub json: Option<std::path::PathBuf>,
}

/// Measures and prints; returns the figures.
pub fn compare(options: &Options) -> Result<Value, String> {
    let libraries: Vec<&dyn Entry> = select(&options.libs)?
        .into_iter()
        .filter(|library| library.is_bounded())
        .collect();
    let on = Runtimes::default();
    let mut figures = Vec::new();
    for flavor in Flavor::ALL
        .into_iter()
        .filter(|flavor| options.runtime.is_none_or(|only| only == *flavor))
    {
        println!(
            "\n{}: ns of an ask, {ASKERS} askers, mailbox of {ROOM}; medians of {} rounds, ratio to `{}` (min-max)\n",
            flavor.name(),
            options.rounds,
            BASELINE.name()
        );
        let mut parts = vec![[const { Vec::new() }; 3]; libraries.len()];
        for round in 0..=options.rounds {
            for turn in 0..libraries.len() {
                let at = (round + turn) % libraries.len();
                let sorted = libraries[at].latencies(&on, flavor, options.asks);
                if round > 0 {
                    for (values, (_, part)) in parts[at].iter_mut().zip(PARTS) {
                        values.push(percentile(&sorted, part));
                    }
                }
            }
        }
        let base = libraries
            .iter()
            .position(|library| library.name() == BASELINE.name())
            .expect("the baseline is always selected");
        print!("{:<24}", "");
        for (name, _) in PARTS {
            print!("{name:>30}");
        }
        println!();
        for (library, values) in libraries.iter().zip(&parts) {
            print!("{:<24}", library.name());
            for (part, (name, _)) in PARTS.into_iter().enumerate() {
                let ns = median(&values[part]);
                let ratio = Ratio::paired(&values[part], &parts[base][part]);
                let cell = format!(
                    "{ns:.0} {:.2} ({:.2}-{:.2})",
                    ratio.median, ratio.min, ratio.max
                );
                print!("{cell:>30}");
                figures.push(json!({
                    "runtime": flavor.name(), "library": library.name(), "percentile": name,
                    "ns": ns, "ratio": ratio.median, "ratio_min": ratio.min, "ratio_max": ratio.max,
                    "rounds": values[part],
                }));
            }
            println!();
        }
    }
    Ok(json!({ "mode": "latency", "figures": figures }))
}
