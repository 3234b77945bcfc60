//! Two runs of one task.

use std::time::{Duration, Instant};

use crate::place::{Place, gate, note};

fn gated() -> Place {
    let folder = Place::new();
    folder.shell_template(&[
        ("a", "", &note("a")),
        ("gate", "a", &gate("gate")),
        ("c", "gate", &note("c")),
    ]);
    folder
}

#[test]
fn a_second_run_follows_the_first() {
    let folder = gated();
    let first = folder.start(&["run", "t.yaml", "--json"]);
    folder.until_noted("gate", 1);
    let second = folder.start(&["run", "t.yaml", "--json"]);
    second.until_says("following it");
    folder.write("gate.go", "");
    let first = first.outcome().expect(0).json();
    let second = second.outcome().expect(0).json();
    assert_eq!(
        (&first["state"], &second["state"]),
        (&"complete".into(), &"complete".into())
    );
    assert_eq!(first["task_uuid"], second["task_uuid"]);
    assert_eq!(folder.ledger(), ["a", "gate", "c"]);
}

#[test]
fn o03_a_follower_takes_over_from_a_dead_process_within_two_seconds() {
    let folder = gated();
    let first = folder.start(&["run", "t.yaml"]);
    folder.until_noted("gate", 1);
    let second = folder.start(&["run", "t.yaml"]);
    second.until_says("following it");
    first.kill();
    let died = Instant::now();
    folder.until_noted("gate", 2);
    let took = died.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    folder.write("gate.go", "");
    second.outcome().expect(0);
    assert_eq!(folder.ledger(), ["a", "gate", "gate", "c"]);
}

#[test]
fn many_runs_at_once_run_each_step_once() {
    let folder = Place::new();
    folder.shell_template(&[
        ("a", "", &note("a")),
        ("b", "a", &note("b")),
        ("c", "a", &note("c")),
        ("d", "b, c", &note("d")),
    ]);
    let runs: Vec<_> = (0..6).map(|_| folder.start(&["run", "t.yaml"])).collect();
    for run in runs {
        run.outcome().expect(0);
    }
    let mut ledger = folder.ledger();
    ledger.sort();
    assert_eq!(ledger, ["a", "b", "c", "d"]);
}
