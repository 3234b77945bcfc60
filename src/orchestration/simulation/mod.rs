//! The orchestration's logic under a seeded scheduler: several processes on one in-memory store, with a clock,
//! chance and ids that the seed decides, in which processes crash and stall, the database fails before or
//! after it has done what it was asked, messages are late or come twice, and operators interfere.
//!
//! What runs is what runs in a service: the lifecycle services, the heartbeat, the store. Only mailboxes and
//! handlers are played by the scheduler. After every few events the rows are audited; every recorded result is
//! held against the rows before it; and when the faults end, every acknowledged task must come to its end.
//!
//! ```sh
//! cargo test --features orchestration --lib simulation        # 1,000 seeds
//! POSTROOM_SIMULATION_SEEDS=10000 cargo test --features orchestration --lib simulation
//! POSTROOM_SIMULATION_SEED=42 cargo test --features orchestration --lib simulation -- --nocapture
//! ```
//!
//! The last one replays one seed and prints what happened.

mod faults;
mod oracle;
mod process;
mod shapes;
mod work;
mod world;

#[cfg(test)]
mod tests;

use faults::Breakage;
use world::World;

/// Runs one seed to its end. Returns what happened, line by line, or the first violation with what led to it.
fn simulate(seed: u64, breakage: Option<Breakage>) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut world = World::new(seed, breakage);
        let ended = world.run().await;
        let trace = world.into_trace();
        match ended {
            Ok(()) => Ok(trace),
            Err(violation) => Err(format!("seed {seed}: {violation}\n{trace}")),
        }
    })
}
