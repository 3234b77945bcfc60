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
    let mut second = folder
        .command(&["run", "t.yaml", "--json"])
        .spawn()
        .unwrap();
    // It says so before it does anything else.
    let mut said = std::io::BufReader::new(second.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("following it") {
        line.clear();
        assert!(
            std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0,
            "it never followed"
        );
    }
    folder.write("gate.go", "");
    let rest =
        std::thread::spawn(move || std::io::Read::read_to_string(&mut said, &mut String::new()));
    let second = second.wait_with_output().unwrap();
    rest.join().unwrap().unwrap();
    assert_eq!(second.status.code(), Some(0));
    let second: serde_json::Value = serde_json::from_slice(&second.stdout).unwrap();
    let first = first.outcome().expect(0).json();
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
