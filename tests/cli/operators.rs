//! What operators do from the command line: `postroom task cancel` and the like, `doctor`, `cleanup`.

use serde_json::{Value, json};

use crate::place::{Place, gate, note};

/// A chain whose second step fails until the file `fixed` is there.
fn failed() -> (Place, String) {
    let folder = Place::new();
    folder.shell_template(&[
        ("first", "", &note("first")),
        ("second", "first", "test -e fixed"),
        ("third", "second", "cat; echo third >> ledger"),
    ]);
    folder.postroom(&["run", "t.yaml"]).expect(1);
    let uuid = folder.only_task();
    (folder, uuid)
}

fn states(folder: &Place, uuid: &str) -> Vec<String> {
    let shown = folder.postroom(&["task", "show", uuid, "--json"]).json();
    let steps = shown["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| step["state"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn o08_a_failed_step_is_completed_by_hand_and_the_rest_runs() {
    let (folder, uuid) = failed();
    let letters = folder
        .postroom(&["task", "dead-letters", "--json"])
        .expect(0);
    let letter = &letters.json()[0];
    assert_eq!(
        (&letter["task_uuid"], &letter["step"]),
        (&json!(uuid), &json!("second"))
    );
    assert!(
        letter["error"].as_str().unwrap().contains("exit status 1"),
        "{letter}"
    );
    folder
        .postroom(&["task", "dead-letters"])
        .expect(0)
        .says("second")
        .says("exit status 1");

    let complete = ["task", "complete", &uuid, "--step", "second"];
    let done = folder
        .postroom(&[&complete[..], &["--result", "{\"by\": \"hand\"}", "--json"]].concat())
        .expect(0);
    assert_eq!(done.json(), json!({"task_uuid": uuid, "state": "pending"}));
    folder
        .postroom(&["task", "dead-letters"])
        .expect(0)
        .says("no dead letters");
    folder.postroom(&["run", "t.yaml"]).expect(0);
    assert_eq!(states(&folder, &uuid), ["complete"; 3]);
    let shown = folder.postroom(&["task", "show", &uuid, "--json"]).json();
    let stdin: Value = serde_json::from_str(shown["steps"][2]["result"].as_str().unwrap()).unwrap();
    assert_eq!(stdin["parents"]["second"], json!({"by": "hand"}));
    assert_eq!(folder.count("first"), 1);
}

#[test]
fn o08_what_cannot_be_done_is_said_with_its_status() {
    let (folder, uuid) = failed();
    folder
        .postroom(&["task", "pause", &uuid])
        .expect(1)
        .says("is failed: it cannot be paused");
    folder
        .postroom(&["task", "rerun", &uuid, "--from", "nothing"])
        .expect(2)
        .says("has no step \"nothing\"");
    folder
        .postroom(&["task", "complete", &uuid, "--step", "third"])
        .expect(1)
        .says("step \"third\"")
        .says("is pending");
    folder
        .postroom(&[
            "task", "complete", &uuid, "--step", "second", "--result", "{",
        ])
        .expect(2)
        .says("--result is not JSON");
    let nobody = "00000000-0000-7000-8000-000000000000";
    folder
        .postroom(&["task", "retry", nobody])
        .expect(2)
        .says(nobody);
    folder
        .postroom(&["task", "resolve", &uuid, "--reason", "settled"])
        .expect(0)
        .says("is resolved_manually");
    folder
        .postroom(&["task", "show", &uuid])
        .expect(0)
        .says("settled");
}

#[test]
fn o08_a_task_is_rerun_from_a_step_and_the_old_run_is_told() {
    let (folder, uuid) = failed();
    folder.write("fixed", "");
    folder.postroom(&["task", "retry", &uuid]).expect(0);
    folder.postroom(&["run", "t.yaml"]).expect(0);
    folder
        .postroom(&["task", "rerun", &uuid, "--from", "third"])
        .expect(0)
        .says("is pending");
    assert_eq!(states(&folder, &uuid), ["complete", "complete", "ready"]);
    folder.postroom(&["run", "t.yaml"]).expect(0);
    assert_eq!((folder.count("first"), folder.count("third")), (1, 2));
    let shown = folder.postroom(&["task", "show", &uuid, "--json"]).json();
    assert_eq!(
        (&shown["run"], &shown["state"]),
        (&json!(3), &json!("complete"))
    );
}

#[test]
fn o08_another_process_pauses_resumes_and_cancels_what_runs() {
    let folder = Place::new();
    folder.shell_template(&[
        ("gate", "", &gate("gate")),
        ("after", "gate", &note("after")),
    ]);
    let running = folder.start(&["run", "t.yaml"]);
    folder.until_noted("gate", 1);
    let uuid = folder.only_task();
    folder
        .postroom(&["task", "pause", &uuid])
        .expect(0)
        .says("is paused");
    folder
        .postroom(&["task", "rerun", &uuid, "--from", "gate"])
        .expect(1)
        .says("step \"gate\"")
        .says("runs");
    folder
        .postroom(&["task", "resume", &uuid])
        .expect(0)
        .says("is running");
    folder
        .postroom(&["task", "cancel", &uuid, "--reason", "enough"])
        .expect(0);
    // Its heartbeat tells it that the lease is gone.
    running.outcome().expect(1).says("enough");
    let pid = std::fs::read_to_string(folder.path("gate.pid")).unwrap();
    crate::place::until("the end of the command", || !crate::place::runs(pid.trim()));
    assert_eq!(folder.count("after"), 0);
}

#[test]
fn o05_the_doctor_proves_a_sound_database_and_names_what_is_wrong() {
    let (folder, uuid) = failed();
    let report = folder.postroom(&["doctor", "--json"]).expect(0).json();
    assert_eq!(
        (&report["healthy"], &report["problems"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(
        report["remarks"],
        json!(["1 failed steps wait for an operator"])
    );
    folder
        .postroom(&["doctor"])
        .expect(0)
        .says("every unfinished task has an owner");

    folder.sql("UPDATE postroom_tasks SET state = 'running', ended_at = NULL");
    let sick = folder.postroom(&["doctor", "--json"]).expect(1).json();
    assert_eq!(sick["healthy"], false);
    let problems = sick["problems"].to_string();
    assert!(
        problems.contains(&uuid) && problems.contains("it is running"),
        "{problems}"
    );
    folder.postroom(&["doctor"]).expect(1).says(&uuid);
}

#[test]
fn old_tasks_are_counted_and_then_deleted() {
    let (folder, uuid) = failed();
    let cleanup = |more: &[&str]| folder.postroom(&[&["cleanup", "--older-than"], more].concat());
    cleanup(&["1d"]).expect(0).says("0 tasks were deleted");
    let counted = cleanup(&["0s", "--dry-run", "--json"]).expect(0).json();
    assert_eq!(counted, json!({"tasks": 1, "dry_run": true}));
    folder.postroom(&["task", "show", &uuid]).expect(0);
    cleanup(&["0s"]).expect(0).says("1 task was deleted");
    folder.postroom(&["task", "show", &uuid]).expect(2);
    cleanup(&["soon"]).expect(2).says("is no duration");
}
