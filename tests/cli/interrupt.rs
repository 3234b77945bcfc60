//! Ctrl-C.

use std::fs;

use rustix::process::Signal;

use crate::place::{Place, gate, note, runs};

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
fn the_first_signal_lets_running_steps_end_and_the_same_command_resumes() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = gated();
        let running = folder.start(&["run", "t.yaml", "--json"]);
        folder.until_noted("gate", 1);
        running.signal(signal);
        folder.write("gate.go", "");
        let outcome = running.outcome().expect(130).says("1 of 3 steps are left");
        let summary = outcome.json();
        assert_eq!(summary["steps_complete"], 2, "{summary}");
        assert_eq!(folder.ledger(), ["a", "gate"], "nothing new is started");
        folder
            .postroom(&["run", "t.yaml"])
            .expect(0)
            .says("2 of 3 steps are complete");
        assert_eq!(folder.ledger(), ["a", "gate", "c"]);
    }
}

#[test]
fn the_second_signal_stops_at_once_and_leaves_no_child() {
    let folder = Place::new();
    // Deaf to being asked, with a grandchild, and one that has left the process group.
    let deaf = "trap '' TERM; sleep 600 & echo $! > child.pid; setsid sh -c 'echo $$ > left.pid; sleep 600' & \
                while [ ! -s left.pid ]; do sleep 0.01; done; echo $$ > shell.pid; echo up >> ledger; wait";
    folder.shell_template(&[("deaf", "", deaf)]);
    let running = folder.start(&["run", "t.yaml"]);
    folder.until_noted("up", 1);
    running.signal(Signal::INT);
    // Now the second signal is a second one.
    running.until_says("Ctrl-C again stops at once");
    running.signal(Signal::INT);
    running.outcome().expect(130).says("Stopped at once");
    for file in ["shell.pid", "child.pid", "left.pid"] {
        let pid = fs::read_to_string(folder.path(file)).unwrap();
        crate::place::until("the children to be gone", || !runs(pid.trim()));
    }
}

#[test]
fn the_first_signal_leaves_no_child_either() {
    let folder = Place::new();
    // One that left the process group outlives its step.
    let leaver = format!(
        "setsid sh -c 'echo $$ > left.pid; exec sleep 600' > left.out 2>&1 & \
         while [ ! -s left.pid ]; do sleep 0.01; done; {}",
        gate("gate")
    );
    folder.shell_template(&[("leaver", "", &leaver), ("c", "leaver", "true")]);
    let running = folder.start(&["run", "t.yaml"]);
    folder.until_noted("gate", 1);
    let pid = fs::read_to_string(folder.path("left.pid")).unwrap();
    assert!(runs(pid.trim()));
    running.signal(Signal::INT);
    running.until_says("Ctrl-C again stops at once");
    folder.write("gate.go", "");
    running.outcome().expect(130);
    crate::place::until("the child to be gone", || !runs(pid.trim()));
}

#[test]
fn a_follower_that_is_interrupted_leaves_the_task_alone() {
    let folder = gated();
    let first = folder.start(&["run", "t.yaml"]);
    folder.until_noted("gate", 1);
    let second = folder.start(&["run", "t.yaml"]);
    second.until_says("following it");
    second.signal(Signal::INT);
    second.outcome().expect(130).says("the task goes on");
    folder.write("gate.go", "");
    first.outcome().expect(0);
    assert_eq!(folder.ledger(), ["a", "gate", "c"]);
}
