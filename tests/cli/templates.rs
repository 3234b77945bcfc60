//! `postroom template`, and templates that are refused.

use crate::place::Place;

const GOOD: &str = r#"
name: good
version: "1.0.0"
steps:
  - name: a
    handler: { callable: noop }
  - name: b
    depends_on: [a]
    handler: { callable: noop }
"#;

/// What is wrong, the template, where it is, and what is said.
const BAD: [(&str, &str, &str, &str); 10] = [
    (
        "a cycle",
        "name: t\nversion: \"1.0.0\"\nsteps:\n  - name: a\n    dependencies: [c]\n    handler: { callable: noop }\n  - name: b\n    dependencies: [a]\n    handler: { callable: noop }\n  - name: c\n    dependencies: [b]\n    handler: { callable: noop }\n",
        "t.yaml:",
        "a -> b -> c -> a",
    ),
    (
        "an unknown dependency",
        "name: t\nversion: \"1.0.0\"\nsteps:\n  - name: extract\n    handler: { callable: noop }\n  - name: b\n    dependencies: [extrct]\n    handler: { callable: noop }\n",
        "t.yaml:7:20:",
        r#"step "b" depends on unknown step "extrct" (did you mean "extract"?)"#,
    ),
    (
        "a duplicate step",
        "name: t\nversion: \"1.0.0\"\nsteps:\n  - name: a\n    handler: { callable: noop }\n  - name: a\n    handler: { callable: noop }\n",
        "t.yaml:6:",
        r#"step "a" is declared twice"#,
    ),
    (
        "an unknown handler",
        "name: t\nversion: \"1.0.0\"\nsteps:\n  - name: a\n    handler: { callable: shel }\n",
        "t.yaml:4:",
        r#"step "a" names the unknown handler "shel" (did you mean "shell"?)"#,
    ),
    (
        "a bad version",
        "name: t\nversion: \"1.0\"\nsteps:\n  - name: a\n    handler: { callable: noop }\n",
        "t.yaml:2:",
        r#"version "1.0""#,
    ),
    (
        "a misspelt key",
        "name: t\nversion: \"1.0.0\"\nsteps:\n  - name: a\n    dependecies: []\n    handler: { callable: noop }\n",
        "t.yaml:5:",
        "unknown key `dependecies`",
    ),
    (
        "no steps",
        "name: t\nversion: \"1.0.0\"\nsteps: []\n",
        "t.yaml:3:",
        "no steps",
    ),
    (
        "broken YAML",
        "name: t\nsteps:\n  - name: [a\n",
        "t.yaml:",
        "",
    ),
    (
        "a misspelt key in a handler's settings",
        "name: t\nversion: \"1.0.0\"\nsteps:\n  - name: a\n    handler: { callable: shell, initialization: { comand: ls } }\n",
        "t.yaml:4:",
        "`comand`",
    ),
    ("nothing at all", "", "t.yaml", ""),
];

#[test]
fn o14_a_bad_template_is_refused_with_its_place_and_nothing_is_stored() {
    for (what, template, place, said) in BAD {
        let folder = Place::new();
        folder.write("t.yaml", template);
        for command in [&["run", "t.yaml"][..], &["template", "check", "t.yaml"]] {
            let outcome = folder.postroom(command);
            assert_eq!(outcome.code, Some(2), "{what}: {outcome:?}");
            assert!(outcome.stderr.starts_with("error: "), "{what}: {outcome:?}");
            assert!(
                outcome.stderr.contains(place),
                "{what}: no {place} in {outcome:?}"
            );
            assert!(
                outcome.stderr.contains(said),
                "{what}: no {said} in {outcome:?}"
            );
            assert_eq!(outcome.stdout, "", "{what}");
            assert_eq!(folder.files(), ["t.yaml"], "{what}");
        }
    }
}

#[test]
fn o14_every_problem_is_said_at_once() {
    let folder = Place::new();
    folder.write(
        "t.yaml",
        "name: t\nversion: x\nsteps:\n  - name: a\n    depends_on: [b]\n    handler: { callable: noop }\n    retries: 3\n",
    );
    let outcome = folder.postroom(&["template", "check", "t.yaml"]).expect(2);
    assert_eq!(
        outcome.stderr.matches("error: t.yaml:").count(),
        3,
        "{outcome:?}"
    );
}

#[test]
fn a_good_template_is_described_and_drawn() {
    let folder = Place::new();
    folder.write("t.yaml", GOOD);
    let checked = folder.postroom(&["template", "check", "t.yaml"]).expect(0);
    assert_eq!(
        checked.stdout,
        "t.yaml: default/good 1.0.0: 2 steps in 2 levels\n"
    );
    let mermaid = folder.postroom(&["template", "graph", "t.yaml"]).expect(0);
    assert!(
        mermaid.stdout.starts_with("flowchart TD\n") && mermaid.stdout.contains("s0 --> s1"),
        "{mermaid:?}"
    );
    let dot = folder
        .postroom(&["template", "graph", "t.yaml", "--format", "dot"])
        .expect(0);
    assert!(
        dot.stdout.starts_with("digraph \"good\" {\n") && dot.stdout.contains("s0 -> s1;"),
        "{dot:?}"
    );
    assert_eq!(folder.files(), ["t.yaml"]);
}

#[test]
fn a_template_for_another_program_can_be_checked() {
    let folder = Place::new();
    folder.write("t.yaml", &GOOD.replace("noop", "payments.charge"));
    folder
        .postroom(&["template", "check", "t.yaml"])
        .expect(2)
        .says("payments.charge");
    folder
        .postroom(&["template", "check", "t.yaml", "--any-handler"])
        .expect(0);
}

#[test]
fn bad_usage_is_refused() {
    let folder = Place::new();
    folder.write("t.yaml", GOOD);
    let cases: [(&[&str], &str); 10] = [
        (&["run"], "FILE"),
        (&["run", "missing.yaml"], "missing.yaml"),
        (&["run", "t.yaml", "--agian"], "--again"),
        (&["run", "t.yaml", "--again", "--retry"], "--retry"),
        (&["run", "t.yaml", "--concurrency", "0"], "--concurrency"),
        (&["run", "t.yaml", "--input", "{x"], "--input is not JSON"),
        (
            &["run", "t.yaml", "--input", "@missing.json"],
            "missing.json",
        ),
        (
            &["run", "t.yaml", "--input", "@t.yaml"],
            "t.yaml is not JSON",
        ),
        (
            &["template", "graph", "t.yaml", "--format", "png"],
            "mermaid",
        ),
        (&["task", "show", "17"], "17"),
    ];
    for (arguments, said) in cases {
        let outcome = folder.postroom(arguments);
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {outcome:?}");
        assert!(outcome.stderr.contains(said), "{arguments:?}: {outcome:?}");
        assert_eq!(folder.files(), ["t.yaml"]);
    }
}
