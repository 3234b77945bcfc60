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

/// What is said of a broken guard by the first seed that finds it, which must be one of the first `seeds`.
fn found(breakage: Breakage, seeds: u64) -> String {
    let violation = (0..seeds).find_map(|seed| simulate(seed, Some(breakage)).err());
    let violation = violation.unwrap_or_else(|| panic!("{seeds} seeds do not miss {breakage:?}"));
    let first = violation.lines().next().unwrap_or_default();
    println!("{breakage:?}: {first}");
    first.to_owned()
}

#[test]
fn o03_a_broken_epoch_check_is_found() {
    let said = found(Breakage::Epoch, 40);
    assert!(said.contains("was recorded over"), "{said}");
}

#[test]
fn o02_a_broken_state_check_is_found() {
    let said = found(Breakage::State, 40);
    assert!(said.contains("was recorded over"), "{said}");
}

#[test]
fn o06_a_join_that_does_not_count_its_parents_is_found() {
    let said = found(Breakage::Join, 40);
    assert!(said.contains("was claimed before its parents"), "{said}");
}

#[test]
fn o03_a_lease_that_is_taken_too_early_is_found() {
    let said = found(Breakage::Lease, 40);
    assert!(said.contains("was taken back from"), "{said}");
}

#[test]
fn o03_leases_that_are_never_taken_back_are_found() {
    let said = found(Breakage::Rescue, 40);
    assert!(said.contains("was left at"), "{said}");
}

#[test]
fn o02_a_step_handed_out_twice_is_found() {
    let said = found(Breakage::Claim, 40);
    assert!(said.contains("was claimed at epoch"), "{said}");
}

#[test]
fn o10_a_task_that_is_stored_twice_is_found() {
    let said = found(Breakage::Identity, 40);
    assert!(said.contains("became more than one task"), "{said}");
}

#[test]
fn o01_an_acknowledged_task_that_was_not_stored_is_found() {
    let said = found(Breakage::Durability, 40);
    // Or, when it is submitted again, as another one.
    let doubled = said.contains("became more than one task");
    assert!(
        doubled || said.contains("was acknowledged and is not there"),
        "{said}"
    );
}
