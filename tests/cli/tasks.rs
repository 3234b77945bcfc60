//! `postroom task list` and `postroom task show`.

use serde_json::json;

use crate::place::{Place, note};

fn with_two_tasks() -> Place {
    let folder = Place::new();
    folder.shell_template(&[
        ("good", "", &note("good")),
        ("bad", "", "echo broken >&2; exit 5"),
        ("beyond", "bad, good", &note("beyond")),
    ]);
    folder.postroom(&["run", "t.yaml"]).expect(1);
    folder.shell_template(&[("good", "", &note("good"))]);
    folder
        .postroom(&["run", "t.yaml", "--input", "[1]"])
        .expect(0);
    folder
}

#[test]
fn tasks_are_listed_newest_first() {
    let folder = with_two_tasks();
    let listed = folder.postroom(&["task", "list"]).expect(0);
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{listed:?}");
    assert!(
        lines[0].starts_with("TASK")
            && lines[1].contains("complete")
            && lines[2].contains("failed"),
        "{listed:?}"
    );
    assert!(
        lines[2].contains("1/3") && lines[2].ends_with("default/t 1.0.0"),
        "{listed:?}"
    );

    let array = folder
        .postroom(&["task", "list", "--json"])
        .expect(0)
        .json();
    let states: Vec<_> = array
        .as_array()
        .unwrap()
        .iter()
        .map(|task| &task["state"])
        .collect();
    assert_eq!(states, ["complete", "failed"]);
    let limited = folder
        .postroom(&["task", "list", "--json", "--limit", "1"])
        .expect(0)
        .says("There are more");
    assert_eq!(limited.json().as_array().unwrap().len(), 1);
}

#[test]
fn a_task_is_shown_with_results_errors_and_what_is_not_reached() {
    let folder = with_two_tasks();
    let list = folder.postroom(&["task", "list", "--json"]).json();
    let uuid = list[1]["task_uuid"].as_str().unwrap().to_owned();
    let shown = folder
        .postroom(&["task", "show", &uuid, "--json"])
        .expect(0)
        .json();
    assert_eq!(shown["task_uuid"], uuid.as_str());
    assert_eq!(shown["state"], "failed");
    assert_eq!(shown["steps"][0]["result"], "good was here");
    assert_eq!(shown["steps"][1]["state"], "failed");
    assert_eq!(shown["steps"][1]["attempts"], 1, "shell is tried once");
    assert!(
        shown["steps"][1]["error"]
            .as_str()
            .unwrap()
            .contains("exit status 5: broken"),
        "{shown}"
    );
    assert_eq!(shown["steps"][2]["state"], "pending");
    assert_eq!(shown["steps"][2]["not_reached_because"], "bad");
    assert_eq!(shown["steps"][2]["depends_on"], json!(["good", "bad"]));

    let text = folder.postroom(&["task", "show", &uuid]).expect(0).stdout;
    for said in [
        &uuid,
        "default/t 1.0.0",
        "1 of 3 complete, 1 failed, 1 not reached",
        "not reached: bad failed",
    ] {
        assert!(text.contains(said), "no {said:?} in {text}");
    }
    let other = list[0]["task_uuid"].as_str().unwrap();
    assert_eq!(
        folder.postroom(&["task", "show", other, "--json"]).json()["input"],
        json!([1])
    );
}

#[test]
fn a_running_task_shows_what_waits_for_what() {
    let folder = Place::new();
    folder.shell_template(&[
        ("gate", "", &crate::place::gate("gate")),
        ("after", "gate", &note("after")),
    ]);
    let running = folder.start(&["run", "t.yaml"]);
    folder.until_noted("gate", 1);
    let uuid = folder.only_task();
    let shown = folder
        .postroom(&["task", "show", &uuid, "--json"])
        .expect(0)
        .json();
    assert_eq!(shown["steps"][0]["state"], "running");
    assert_eq!(shown["steps"][1]["waits_for"], json!(["gate"]));
    folder
        .postroom(&["task", "show", &uuid])
        .expect(0)
        .says("so far")
        .says("waits for gate");
    folder.write("gate.go", "");
    running.outcome().expect(0);
}

#[test]
fn looking_creates_nothing_and_what_is_not_there_is_said() {
    let folder = Place::new();
    folder
        .postroom(&["task", "list"])
        .expect(3)
        .says("there is no database postroom.db");
    assert!(folder.files().is_empty());
    folder.shell_template(&[("good", "", "true")]);
    folder.postroom(&["run", "t.yaml"]).expect(0);
    let nobody = "00000000-0000-7000-8000-000000000000";
    folder
        .postroom(&["task", "show", nobody])
        .expect(2)
        .says(nobody);
}
