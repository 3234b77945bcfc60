//! `postroom run` from beginning to end, and again.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::place::{Place, note};

fn diamond(folder: &Place) {
    folder.shell_template(&[
        ("top", "", &note("top")),
        ("left", "top", &note("left")),
        ("right", "top", &note("right")),
        ("bottom", "left, right", &note("bottom")),
    ]);
}

#[test]
fn a_template_runs_to_its_end() {
    let folder = Place::new();
    diamond(&folder);
    let outcome = folder.postroom(&["run", "t.yaml", "--json"]).expect(0);
    let ledger = folder.ledger();
    assert_eq!(ledger.len(), 4, "{ledger:?}");
    assert_eq!((ledger[0].as_str(), ledger[3].as_str()), ("top", "bottom"));

    let summary = outcome.json();
    assert_eq!(summary["name"], "t");
    assert_eq!(summary["state"], "complete");
    assert_eq!(summary["steps_total"], 4);
    assert_eq!(summary["steps_complete"], 4);
    assert_eq!(summary["steps_failed"], 0);
    assert_eq!(summary["results"], json!({"bottom": "bottom was here"}));
    assert!(summary["elapsed_ms"].as_u64().unwrap() > 0);
    assert_eq!(summary["task_uuid"], folder.only_task());
    // Not a terminal: plain lines, without colours.
    assert!(
        outcome.stderr.contains("[4/4] complete bottom ("),
        "{}",
        outcome.stderr
    );
    assert!(
        !outcome.stderr.contains('\u{1b}') && !outcome.stderr.contains('\r'),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_complete_task_is_shown_and_run_anew_only_when_asked() {
    let folder = Place::new();
    diamond(&folder);
    folder
        .postroom(&["run", "t.yaml"])
        .expect(0)
        .says("bottom: bottom was here");
    let shown = folder
        .postroom(&["run", "t.yaml"])
        .expect(0)
        .says("complete already");
    assert!(
        shown.stdout.contains("bottom: bottom was here"),
        "{shown:?}"
    );
    folder.postroom(&["run", "t.yaml", "--retry"]).expect(0);
    assert_eq!(folder.ledger().len(), 4);
    folder.postroom(&["run", "t.yaml", "--again"]).expect(0);
    assert_eq!(folder.ledger().len(), 8);
}

#[test]
fn o10_another_input_is_another_task_and_the_same_one_is_not() {
    let folder = Place::new();
    folder.shell_template(&[("a", "", "cat > given; cat given >> ledger")]);
    folder.write("input.json", "{\"b\": [2.0], \"a\": \"$(true) 'x'\"}");
    folder
        .postroom(&["run", "t.yaml", "--input", "@input.json"])
        .expect(0);
    let given: serde_json::Value = serde_json::from_str(&folder.ledger()[0]).unwrap();
    assert_eq!(given["input"], json!({"a": "$(true) 'x'", "b": [2.0]}));
    // The same input in other words.
    let same = [
        "run",
        "t.yaml",
        "--input",
        r#"{"a":"$(true) 'x'","b":[2.0]}"#,
    ];
    folder.postroom(&same).expect(0).says("complete already");
    folder
        .postroom(&["run", "t.yaml", "--input", "17"])
        .expect(0);
    assert_eq!(folder.ledger().len(), 2);
}

#[test]
fn an_edited_file_is_a_new_task_and_the_unfinished_one_is_mentioned() {
    let folder = Place::new();
    folder.shell_template(&[
        ("a", "", &note("a")),
        ("gate", "a", &crate::place::gate("gate")),
    ]);
    let running = folder.start(&["run", "t.yaml"]);
    folder.until_noted("gate", 1);
    running.kill();
    let unfinished = folder.only_task();
    diamond(&folder);
    let edited = folder.postroom(&["run", "t.yaml"]).expect(0);
    assert!(
        edited
            .stderr
            .contains(&format!("task {unfinished} of the same name")),
        "{edited:?}"
    );
    assert_eq!(folder.count("top"), 1);
}

#[test]
fn the_database_is_for_its_owner_alone() {
    let folder = Place::new();
    diamond(&folder);
    folder.postroom(&["run", "t.yaml"]).expect(0);
    let mode = std::fs::metadata(folder.path("postroom.db"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn trouble_with_the_database_is_told_apart() {
    let folder = Place::new();
    diamond(&folder);
    folder.write("garbage.db", &"this is no database ".repeat(100));
    let cases = [
        ("garbage.db", 3),
        ("missing/folder/x.db", 3),
        (".", 3),
        ("mysql://root:secret@localhost/x", 2),
    ];
    for (url, code) in cases {
        for command in [
            &["run", "t.yaml", "--database", url][..],
            &["task", "list", "--database", url],
        ] {
            let outcome = folder.postroom(command).expect(code);
            assert!(outcome.stderr.starts_with("error: "), "{outcome:?}");
            assert!(!outcome.stderr.contains("secret"), "{outcome:?}");
        }
    }
    assert!(folder.ledger().is_empty());
}

#[test]
fn no_more_steps_run_at_once_than_allowed() {
    let folder = Place::new();
    let command = "echo begin >> ledger; sleep 0.05; echo end >> ledger";
    folder.shell_template(&[("a", "", command), ("b", "", command), ("c", "", command)]);
    folder
        .postroom(&["run", "t.yaml", "--concurrency", "1"])
        .expect(0);
    assert_eq!(
        folder.ledger(),
        ["begin", "end", "begin", "end", "begin", "end"]
    );
}

#[test]
fn o07_a_failing_step_is_retried_and_then_the_task_fails_until_its_cause_is_gone() {
    let folder = Place::new();
    folder.write(
        "t.yaml",
        r#"
name: t
version: "1.0.0"
steps:
  - name: first
    handler: { callable: shell, initialization: { command: "echo first >> ledger" } }
  - name: flaky
    dependencies: [first]
    retry: { max_attempts: 3, backoff_base_ms: 10 }
    handler:
      callable: shell
      initialization: { command: "echo flaky >> ledger; test -e fixed || { echo the oven is cold >&2; exit 7; }" }
  - name: beside
    dependencies: [first]
    handler: { callable: shell, initialization: { command: "echo beside >> ledger" } }
  - name: after
    dependencies: [flaky]
    handler: { callable: shell, initialization: { command: "echo after >> ledger" } }
  - name: last
    dependencies: [after, beside]
    handler: { callable: shell, initialization: { command: "echo last >> ledger" } }
"#,
    );
    let failed = folder
        .postroom(&["run", "t.yaml", "--json"])
        .expect(1)
        .says("the oven is cold");
    let summary = failed.json();
    assert_eq!(
        (&summary["state"], &summary["steps_failed"]),
        (&json!("failed"), &json!(1))
    );
    assert_eq!(summary["steps_complete"], 2);
    assert!(
        summary["reason"].as_str().unwrap().contains("flaky"),
        "{summary}"
    );
    assert_eq!(
        (
            folder.count("flaky"),
            folder.count("beside"),
            folder.count("after")
        ),
        (3, 1, 0)
    );

    let shown = folder
        .postroom(&["task", "show", &folder.only_task()])
        .expect(0);
    for said in [
        "failed",
        "3/3",
        "exit status 7",
        "the oven is cold",
        "not reached: flaky failed",
    ] {
        assert!(
            shown.stdout.contains(said),
            "no {said:?} in {}",
            shown.stdout
        );
    }

    // Shown, not run.
    folder
        .postroom(&["run", "t.yaml"])
        .expect(1)
        .says("--retry continues it");
    assert_eq!(folder.count("flaky"), 3);
    // Retried in vain, with its attempts counted anew.
    folder.postroom(&["run", "t.yaml", "--retry"]).expect(1);
    assert_eq!(folder.count("flaky"), 6);
    folder.write("fixed", "");
    let finished = folder
        .postroom(&["run", "t.yaml", "--retry", "--json"])
        .expect(0)
        .json();
    assert_eq!(
        (&finished["state"], &finished["run"]),
        (&json!("complete"), &json!(3))
    );
    let counts = ["first", "flaky", "beside", "after", "last"].map(|name| folder.count(name));
    assert_eq!(counts, [1, 7, 1, 1, 1]);
}

#[test]
fn a_reader_that_goes_away_disturbs_nothing() {
    let folder = Place::new();
    diamond(&folder);
    let mut child = folder
        .command(&["run", "t.yaml", "--json"])
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(folder.count("bottom"), 1);
}
