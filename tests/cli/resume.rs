//! A crash, and the same command again.

use std::fs;

use crate::place::{Place, gate, note, runs, until};

#[test]
fn o01_a_killed_run_is_resumed_and_finished_steps_are_not_repeated() {
    let folder = Place::new();
    folder.shell_template(&[
        ("a", "", &note("a")),
        ("b", "a", &note("b")),
        ("gate", "b", &gate("gate")),
        ("c", "gate", &note("c")),
    ]);
    let running = folder.start(&["run", "t.yaml"]);
    folder.until_noted("gate", 1);
    running.kill();
    let left = fs::read_to_string(folder.path("gate.pid")).unwrap();
    let left = left.trim();
    assert!(runs(left), "the step's process outlives the crash");

    let running = folder.start(&["run", "t.yaml", "--json"]);
    folder.until_noted("gate", 2);
    assert!(
        !runs(left),
        "what the crash left behind is ended before the step runs again"
    );
    folder.write("gate.go", "");
    let outcome = running
        .outcome()
        .expect(0)
        .says("Resuming task")
        .says("2 of 4 steps are complete");
    assert_eq!(outcome.json()["state"], "complete");
    assert_eq!(folder.ledger(), ["a", "b", "gate", "gate", "c"]);
    assert_eq!(outcome.json()["task_uuid"], folder.only_task());
}

#[test]
fn o01_killed_again_and_again_it_ends_complete() {
    let folder = Place::new();
    let names: Vec<String> = (0..40).map(|number| format!("s{number}")).collect();
    let command = |name: &String| format!("sleep 0.01; echo {name} >> ledger");
    let steps: Vec<(String, String, String)> = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            (
                name.clone(),
                if number < 4 {
                    String::new()
                } else {
                    names[number - 4].clone()
                },
                command(name),
            )
        })
        .collect();
    let steps: Vec<_> = steps
        .iter()
        .map(|(name, before, command)| (&**name, &**before, &**command))
        .collect();
    folder.shell_template(&steps);
    // Each time as soon as three more steps have left their mark.
    for goal in [3, 6, 9, 12] {
        let running = folder.start(&["run", "t.yaml", "--concurrency", "4"]);
        until("more steps", || folder.ledger().len() >= goal);
        running.kill();
    }
    let outcome = folder
        .postroom(&["run", "t.yaml", "--concurrency", "4", "--json"])
        .expect(0);
    assert_eq!(outcome.json()["steps_complete"], 40);
    // A step that was under way when the process died runs again; each death can repeat four of them.
    let twice: usize = names.iter().map(|name| folder.count(name) - 1).sum();
    assert!(twice <= 16, "{:?}", folder.ledger());
    // Parents before children: the first mark of each.
    let ledger = folder.ledger();
    let first = |name: &str| ledger.iter().position(|noted| noted == name).unwrap();
    for number in 4..40 {
        assert!(
            first(&names[number - 4]) < first(&names[number]),
            "{ledger:?}"
        );
    }
}
