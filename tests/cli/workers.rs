//! `postroom submit`, `postroom worker` and `postroom orchestrator`.

use rustix::process::Signal;
use serde_json::json;

use crate::place::{Place, gate, note, until};

fn submit(folder: &Place, more: &[&str]) -> String {
    let submitted = folder.postroom(&[&["submit", "t.yaml", "--json"], more].concat());
    let submitted = submitted.expect(0).json();
    assert_eq!(submitted["duplicate"], json!(null));
    submitted["task_uuid"].as_str().unwrap().to_owned()
}

fn state(folder: &Place, uuid: &str) -> String {
    let shown = folder.postroom(&["task", "show", uuid, "--json"]).expect(0);
    shown.json()["state"].as_str().unwrap().to_owned()
}

fn until_state(folder: &Place, uuid: &str, wanted: &str) {
    until(&format!("{uuid} to be {wanted}"), || {
        state(folder, uuid) == wanted
    });
}

#[test]
fn what_one_process_submits_another_runs_until_it_is_told_to_stop() {
    let folder = Place::new();
    folder.shell_template(&[("a", "", &note("a")), ("b", "a", &note("b"))]);
    let uuid = submit(&folder, &[]);
    let again = folder.postroom(&["submit", "t.yaml"]).expect(0);
    again.says(&uuid).says("submitted before and is");
    let worker = folder.start(&["worker", "--allow-shell"]);
    worker.until_says("runs noop, shell, sleep of every template");
    until_state(&folder, &uuid, "complete");
    let second = submit(&folder, &["--again", "--priority", "-5"]);
    until_state(&folder, &second, "complete");
    worker.signal(Signal::TERM);
    worker.outcome().expect(0);
    assert_eq!(folder.ledger(), ["a", "b", "a", "b"]);
    folder.postroom(&["doctor"]).expect(0);
}

#[test]
fn o15_a_worker_runs_shell_only_when_told_to() {
    let folder = Place::new();
    folder.shell_template(&[("a", "", &note("a"))]);
    let uuid = submit(&folder, &[]);
    let worker = folder.start(&["worker"]);
    worker.until_says("runs noop, sleep of every template");
    until_state(&folder, &uuid, "blocked");
    folder
        .postroom(&["task", "show", &uuid])
        .expect(0)
        .says("no live worker for shell");
    let other = folder.start(&["worker", "--allow-shell"]);
    until_state(&folder, &uuid, "complete");
    for worker in [worker, other] {
        worker.signal(Signal::INT);
        worker.outcome().expect(0);
    }
}

#[test]
fn a_worker_serves_the_templates_that_it_names() {
    let folder = Place::new();
    folder.shell_template(&[("a", "", &note("a"))]);
    let uuid = submit(&folder, &[]);
    let other = folder.start(&["worker", "--allow-shell", "--serve", "default/t@2.0.0"]);
    until_state(&folder, &uuid, "blocked");
    let mine = folder.start(&[
        "worker",
        "--allow-shell",
        "--serve",
        "lab",
        "--serve",
        "default/t",
    ]);
    mine.until_says("of lab, default/t");
    until_state(&folder, &uuid, "complete");
    for worker in [mine, other] {
        worker.signal(Signal::TERM);
        worker.outcome().expect(0);
    }
    folder
        .postroom(&["worker", "--serve", "a@1"])
        .expect(2)
        .says("does not describe templates");
}

#[test]
fn an_orchestrator_takes_over_from_a_killed_worker_and_runs_nothing() {
    let folder = Place::new();
    folder.shell_template(&[("gate", "", &gate("gate"))]);
    let uuid = submit(&folder, &[]);
    let worker = folder.start(&["worker", "--allow-shell"]);
    folder.until_noted("gate", 1);
    worker.kill();
    let orchestrator = folder.start(&["orchestrator", "--retention", "30d"]);
    until_state(&folder, &uuid, "blocked");
    let shown = folder.postroom(&["task", "show", &uuid, "--json"]).json();
    assert_eq!(shown["steps"][0]["lost_leases"], 1);
    orchestrator.signal(Signal::TERM);
    orchestrator.outcome().expect(0);
}

#[test]
fn o13_a_worker_that_is_told_to_stop_gives_its_leases_back_at_once() {
    let folder = Place::new();
    folder.shell_template(&[("gate", "", &gate("gate"))]);
    let uuid = submit(&folder, &[]);
    let worker = folder.start(&["worker", "--allow-shell"]);
    folder.until_noted("gate", 1);
    worker.signal(Signal::TERM);
    worker.until_says("Waiting up to 10 s for 1 steps");
    worker.signal(Signal::TERM);
    worker.outcome().expect(130);
    // Another takes the step over, and the one that was ended does not work beside it.
    folder.write("gate.go", "");
    let other = folder.start(&["worker", "--allow-shell"]);
    until_state(&folder, &uuid, "complete");
    other.signal(Signal::TERM);
    other.outcome().expect(0);
    assert_eq!(folder.count("gate"), 2);
}

#[test]
fn a_task_submitted_for_later_waits() {
    let folder = Place::new();
    folder.shell_template(&[("a", "", &note("a"))]);
    let later = submit(&folder, &["--delay", "1d", "--key", "nightly"]);
    assert_eq!(state(&folder, &later), "waiting");
    let now = submit(&folder, &["--key", "now"]);
    let worker = folder.start(&["worker", "--allow-shell"]);
    until_state(&folder, &now, "complete");
    assert_eq!(state(&folder, &later), "waiting");
    worker.signal(Signal::TERM);
    worker.outcome().expect(0);
}
