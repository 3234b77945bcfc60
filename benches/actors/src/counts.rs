//! Exact counts: allocations for each operation, and bytes for each idle actor.
//!
//! They need a counting allocator, which the binary `counts` installs.

use crate::library::{Fleet, Library, Subject, Unregistered};
use crate::loads::{Asks, Lives, Load, Queued, Tells, whole_steps};
use crate::work::{CAPACITY, Large, Plain, Suspends};
use serde_json::{Value, json};
use stats_alloc::INSTRUMENTED_SYSTEM;

/// Columns of the table.
pub const OPERATIONS: [&str; 6] = [
    "ask",
    "tell",
    "tell+ask",
    "suspended ask",
    "4 KiB ask",
    "life",
];

pub struct Counts {
    /// Allocations for each of [`OPERATIONS`].
    pub allocations: [f64; 6],
    /// Bytes for each idle actor, its task included, after a tell and an ask behind it.
    pub unregistered: f64,
    /// The same in a registry.
    pub registered: f64,
}

fn allocations_so_far() -> u64 {
    let stats = INSTRUMENTED_SYSTEM.stats();
    u64::try_from(stats.allocations + stats.reallocations).expect("it fits")
}

fn bytes_in_use() -> i64 {
    let stats = INSTRUMENTED_SYSTEM.stats();
    let allocated = i64::try_from(stats.bytes_allocated).expect("it fits");
    allocated - i64::try_from(stats.bytes_deallocated).expect("it fits")
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn each(count: i64, of: u64) -> f64 {
    count as f64 / of as f64
}

/// The difference between two runs, so that what happens once does not count.
async fn allocations<T: Load>() -> f64 {
    let (few, many) = (whole_steps::<T>(10_000), whole_steps::<T>(30_000));
    let mut load = T::prepare().await;
    // Rings and caches grow to their size.
    load.run(many).await;
    let begun = allocations_so_far();
    load.run(few).await;
    let between = allocations_so_far();
    load.run(many).await;
    let end = allocations_so_far();
    load.finish().await;
    let difference = (end - between).checked_signed_diff(between - begun);
    each(difference.expect("it fits"), many - few)
}

async fn bytes<F: Fleet>(count: usize) -> f64 {
    // The first time the runtime's own queues and tables grow.
    fleet_bytes::<F>(count).await;
    fleet_bytes::<F>(count).await
}

async fn fleet_bytes<F: Fleet>(count: usize) -> f64 {
    let mut fleet = F::with_capacity(count);
    let before = bytes_in_use();
    fleet.start(count).await;
    for actor in fleet.actors() {
        actor.tell(1).await;
        assert_eq!(actor.ask(1).await, 2);
    }
    tokio::task::yield_now().await;
    let used = bytes_in_use() - before;
    fleet.stop().await;
    each(used, u64::try_from(count).expect("it fits"))
}

pub async fn count<L: Library>(actors: usize) -> Counts {
    Counts {
        allocations: [
            allocations::<Asks<L, Plain, 1>>().await,
            allocations::<Tells<L, Plain, 1, CAPACITY>>().await,
            allocations::<Queued<L>>().await,
            allocations::<Asks<L, Suspends, 1>>().await,
            allocations::<Asks<L, Large, 1>>().await,
            allocations::<Lives<L>>().await,
        ],
        unregistered: bytes::<Unregistered<L::Counter<Plain>>>(actors).await,
        registered: bytes::<L::Registered>(actors).await,
    }
}

#[derive(clap::Parser, Debug)]
#[command(about = "Counts allocations and bytes exactly, on a current-thread runtime")]
pub struct Options {
    /// Words in the names of the libraries to count, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub libs: Vec<String>,
    /// How many idle actors to weigh.
    #[arg(long, default_value_t = 10_000)]
    pub actors: usize,
    /// Where to write the figures as JSON.
    #[arg(long)]
    pub json: Option<std::path::PathBuf>,
}

/// Counts and prints; returns the figures.
pub fn table(options: &Options) -> Result<Value, String> {
    let on = crate::runtimes::Runtimes::default();
    println!("allocations for each operation, in steady state; bytes for each idle actor\n");
    print!("{:<24}", "");
    for operation in OPERATIONS {
        print!("{operation:>15}");
    }
    println!("{:>15}{:>15}", "idle", "registered");
    let mut figures = Vec::new();
    for library in crate::entry::select(&options.libs)? {
        let counts = library.counts(&on, options.actors);
        print!("{:<24}", library.name());
        for allocations in counts.allocations {
            print!("{allocations:>15.3}");
        }
        println!("{:>15.0}{:>15.0}", counts.unregistered, counts.registered);
        let allocations: serde_json::Map<_, _> = OPERATIONS
            .iter()
            .zip(counts.allocations)
            .map(|(operation, count)| ((*operation).to_owned(), json!(count)))
            .collect();
        figures.push(json!({
            "library": library.name(),
            "allocations": allocations,
            "bytes": { "unregistered": counts.unregistered, "registered": counts.registered },
        }));
    }
    Ok(json!({ "mode": "counts", "actors": options.actors, "figures": figures }))
}
