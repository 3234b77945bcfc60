//! Seeds, one after another on every core.

use std::sync::atomic::{AtomicU64, Ordering};

use super::faults::Breakage;
use super::simulate;

/// A number from the environment.
fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

#[test]
fn o05_a_thousand_simulated_storms_lose_nothing_and_record_nothing_twice() {
    if let Some(seed) = given("POSTROOM_SIMULATION_SEED") {
        println!(
            "{}",
            simulate(seed, None).unwrap_or_else(|violation| panic!("{violation}"))
        );
        return;
    }
    let seeds = given("POSTROOM_SIMULATION_SEEDS").unwrap_or(1_000);
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            if let Err(violation) = simulate(seed, None) {
                panic!("{violation}\nreplay it with POSTROOM_SIMULATION_SEED={seed}");
            }
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
}

#[test]
fn a_seed_is_replayed_exactly() {
    for seed in 0..20 {
        let first = simulate(seed, None).unwrap_or_else(|violation| panic!("{violation}"));
        assert_eq!(simulate(seed, None).as_ref(), Ok(&first));
        assert!(first.lines().count() > 10, "{first}");
    }
    assert_ne!(simulate(1, None), simulate(2, None));
}

/// How many of the first seeds find a guard that is broken, and what the first of them says.
fn found(breakage: Breakage) -> (usize, String) {
    let violations: Vec<String> = (0..100)
        .filter_map(|seed| simulate(seed, Some(breakage)).err())
        .collect();
    let first = violations
        .first()
        .map_or("", |first| first.lines().next().unwrap_or(""));
    (violations.len(), first.to_owned())
}

#[test]
fn o03_a_broken_epoch_check_is_found() {
    let (seeds, first) = found(Breakage::Epoch);
    assert!(
        seeds >= 5 && first.contains("was recorded over"),
        "{seeds}: {first}"
    );
}

#[test]
fn o03_leases_that_are_never_taken_back_are_found() {
    let (seeds, first) = found(Breakage::Rescue);
    assert!(
        seeds >= 5 && first.contains("never ends"),
        "{seeds}: {first}"
    );
}

#[test]
fn o02_a_step_handed_out_twice_is_found() {
    let (seeds, first) = found(Breakage::Claim);
    assert!(
        seeds >= 50 && first.contains("was claimed at epoch"),
        "{seeds}: {first}"
    );
}

#[test]
fn o01_an_acknowledged_task_that_was_not_stored_is_found() {
    let (seeds, first) = found(Breakage::Durability);
    assert!(seeds >= 20, "{seeds}: {first}");
}
