//! Templates from every source, and what is said of bad ones.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::orchestration::state::FailurePolicy;

const GOOD: &str = r#"
name: pipeline
namespace_name: lab
version: "1.2.3"
description: Reads, works, writes
steps:
  - name: read
    handler:
      callable: shell
      initialization: { command: "cat input", env: { B: "2", A: "1" } }
  - name: work
    type: standard
    depends_on: [read]
    timeout_seconds: 1.5
    retry: { max_attempts: 5, backoff: linear, backoff_base_ms: 10, max_backoff_ms: 100 }
    handler: { callable: work }
  - name: write
    dependencies: [read, work]
    handler: { callable: write }
"#;

fn problems(yaml: &str) -> Vec<String> {
    TaskTemplate::from_yaml(yaml)
        .expect_err("it must be refused")
        .as_slice()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// A template around the lines of its steps; the first of them is line 4.
fn with_steps(steps: &str) -> String {
    format!("name: t\nversion: \"1.0.0\"\nsteps:\n{steps}")
}

#[test]
fn a_good_template_is_read_whole() {
    let template = TaskTemplate::from_yaml(GOOD).unwrap();
    assert_eq!(
        (template.namespace(), template.name(), template.version()),
        ("lab", "pipeline", "1.2.3")
    );
    let [read, work, write] = template.steps() else {
        panic!("three steps were declared");
    };
    assert_eq!(read.initialization()["command"], "cat input");
    assert_eq!(
        read.retry().max_attempts,
        1,
        "shell commands are tried once"
    );
    assert_eq!(write.retry(), &RetryPolicy::default());
    assert_eq!(work.timeout(), Some(Duration::from_millis(1_500)));
    assert_eq!(work.retry().backoff, Backoff::Linear);
    let graph = template.graph();
    assert_eq!(
        (graph.parents(2), graph.children(0)),
        (&[0, 1][..], &[1, 2][..])
    );
    assert_eq!((graph.level(2), graph.depth()), (2, 3));
}

#[test]
fn yaml_json_and_code_give_the_same_canonical_text() {
    let yaml = TaskTemplate::from_yaml(GOOD).unwrap();
    let json = TaskTemplate::from_json(&yaml.canonical_json()).unwrap();
    let mut built = TaskTemplate::builder("pipeline")
        .namespace("lab")
        .version("1.2.3")
        .description("Reads, works, writes");
    let read = built
        .step("read", "shell")
        .with(json!({"env": {"A": "1", "B": "2"}, "command": "cat input"}))
        .add();
    let work = built
        .step("work", "work")
        .after([&read])
        .timeout(Duration::from_millis(1_500))
        .retry(RetryPolicy {
            max_attempts: 5,
            backoff: Backoff::Linear,
            backoff_base_ms: 10,
            max_backoff_ms: 100,
            ..RetryPolicy::default()
        })
        .add();
    built.step("write", "write").after([&read, &work]);
    let built = built.build().unwrap();
    assert_eq!(yaml, built);
    assert_eq!(yaml.canonical_json(), json.canonical_json());
    assert_eq!(yaml.canonical_json(), built.canonical_json());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let step = |name: &str, rest: &str| {
        format!("  - name: {name}\n    handler: {{ callable: h }}\n{rest}")
    };
    let cases = [
        (
            with_steps(&(step("a", "    depends_on: [b]\n") + &step("b", "    depends_on: [a]\n"))),
            "line 4, column 11: steps depend on each other in a cycle: a -> b -> a",
        ),
        (
            with_steps(&step("a", "    depends_on: [a]\n")),
            "line 6, column 18: step \"a\" depends on itself",
        ),
        (
            with_steps(&(step("extract", "") + &step("load", "    depends_on: [extrct]\n"))),
            "line 8, column 18: step \"load\" depends on unknown step \"extrct\" (did you mean \"extract\"?)",
        ),
        (
            with_steps(&(step("a", "") + &step("a", ""))),
            "line 6, column 11: step \"a\" is declared twice",
        ),
        (
            with_steps(&(step("a", "") + &step("b", "    depends_on: [a, a]\n"))),
            "line 8, column 21: step \"b\" names its dependency \"a\" twice",
        ),
        (
            "name: t\nversion: 1.0\nsteps: [{ name: a, handler: { callable: h } }]\n".to_owned(),
            "line 2, column 10: `version` of the template must be a text, this is a number (put it in quotes)",
        ),
        (
            "name: t\nversion: \"1.0\"\nsteps: [{ name: a, handler: { callable: h } }]\n"
                .to_owned(),
            "line 2, column 10: version \"1.0\" is not of the form major.minor.patch, such as \"1.0.0\"",
        ),
        (
            with_steps(&step("a", "    dependson: []\n")),
            "line 6, column 5: unknown key `dependson` in step \"a\" (did you mean \"depends_on\"?)",
        ),
        (
            with_steps("  []\n"),
            "line 4, column 3: the template has no steps",
        ),
        (
            "name: t\nversion: \"1.0.0\"\n".to_owned(),
            "line 1, column 1: the template has no steps",
        ),
        (
            with_steps("  - name: a\n"),
            "line 4, column 5: step \"a\" has no `handler`",
        ),
        (
            with_steps(&step("a", "    type: decision\n")),
            "line 6, column 11: `type: decision` of step \"a\" is not supported; use `standard` steps",
        ),
        (
            with_steps(&step("a", "    retry: { max_attempts: 0 }\n")),
            "line 6, column 28: `max_attempts` of the retry policy of step \"a\" must be from 1 to 100",
        ),
        (
            with_steps(&step("a", "    retry: { backof: none }\n")),
            "line 6, column 14: unknown key `backof` in the retry policy of step \"a\" (did you mean \"backoff\"?)",
        ),
        (
            with_steps(&step("a", "    timeout_seconds: -1\n")),
            "line 6, column 22: `timeout_seconds` of step \"a\" must be a number above 0, in seconds",
        ),
        (
            with_steps(&step("\"\"", "")),
            "line 4, column 11: the name of a step must be 1 to 128 bytes, without control characters and without white space around it",
        ),
    ];
    for (yaml, expected) in cases {
        assert_eq!(problems(&yaml), [expected], "{yaml}");
    }
}

#[test]
fn o08_the_failure_policy_is_one_of_two_and_part_of_what_a_template_is() {
    let with = |policy: &str| format!("failure_policy: {policy}\n{}", GOOD.trim_start());
    let fast = TaskTemplate::from_yaml(&with("fail_fast")).unwrap();
    assert_eq!(fast.failure_policy(), FailurePolicy::FailFast);
    let slow = TaskTemplate::from_yaml(&with("continue")).unwrap();
    assert_eq!(slow, TaskTemplate::from_yaml(GOOD).unwrap());
    assert_ne!(fast.canonical_json(), slow.canonical_json());
    let again = TaskTemplate::from_json(&fast.canonical_json()).unwrap();
    assert_eq!(again.failure_policy(), FailurePolicy::FailFast);
    let found = problems(&with("stop"));
    assert!(
        found[0].starts_with("line 1, column 17: ")
            && found[0].contains("`continue` or `fail_fast`"),
        "{found:?}"
    );
}

#[test]
fn broken_documents_are_refused_with_the_place() {
    for (text, line) in [
        ("name: [1,\n", "line 1"),
        ("a: 1\na: 2\n", "line 2"),
        ("a:\n\t- b\n", "line 2"),
    ] {
        let found = problems(text);
        assert!(found[0].starts_with(line), "{text:?}: {found:?}");
    }
    let twice = TaskTemplate::from_json("{\"name\": 1,\n \"name\": 2}")
        .unwrap_err()
        .to_string();
    assert!(
        twice.contains("line 2") && twice.contains("name"),
        "{twice}"
    );
    assert!(
        problems("")[0].contains("must be a map"),
        "{:?}",
        problems("")
    );
    assert!(problems("just a text")[0].contains("must be a map"));
    let deep = format!("a: {}{}", "[".repeat(2_000), "]".repeat(2_000));
    assert!(TaskTemplate::from_yaml(&deep).is_err());
    let bomb = format!(
        "a0: &a0 [x]\n{}",
        (1..30)
            .map(|n| format!("a{n}: &a{n} [*a{m}, *a{m}]\n", m = n - 1))
            .collect::<Vec<_>>()
            .concat()
    );
    assert!(TaskTemplate::from_yaml(&bomb).is_err());
    assert!(TaskTemplate::from_yaml(&"#".repeat(MAX_DOCUMENT_BYTES + 1)).is_err());
}

#[test]
fn every_problem_is_reported_and_in_order() {
    let found = problems(&with_steps(
        "  - name: a\n    handler: { callable: h, initialisation: {} }\n  - name: b\n    handlr: {}\n",
    ));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].contains("initialisation") && found[0].contains("line 5"),
        "{found:?}"
    );
    assert!(found[1].contains("has no `handler`"), "{found:?}");
    assert!(found[2].contains("did you mean \"handler\"?"), "{found:?}");
}

#[test]
fn a_file_is_named_in_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.json");
    std::fs::write(
        &file,
        "{\"name\": \"t\", \"version\": \"1.0.0\",\n\"steps\": []}",
    )
    .unwrap();
    let error = TaskTemplate::load(&file).unwrap_err().to_string();
    assert!(
        error.ends_with("bad.json:2:10: the template has no steps"),
        "{error}"
    );
    let missing = TaskTemplate::load(folder.path().join("none.yaml"))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("none.yaml"), "{missing}");
}

#[test]
fn a_long_chain_and_a_wide_lattice_are_validated_in_linear_time() {
    let mut chain = TaskTemplate::builder("chain");
    let mut last = chain.step("s0", "noop").add();
    for n in 1..MAX_STEPS {
        last = chain.step(format!("s{n}"), "noop").after([&last]).add();
    }
    assert_eq!(chain.clone().build().unwrap().graph().depth(), MAX_STEPS);
    chain.step("one_too_many", "noop").after([&last]);
    let error = chain.build().unwrap_err().to_string();
    assert!(error.contains("10001 steps"), "{error}");
    // 2^500 paths lead through it: a walk over paths would not end.
    let mut lattice = TaskTemplate::builder("lattice");
    let mut layer = vec![lattice.step("top", "noop").add()];
    for n in 0..500 {
        layer = ["l", "r"]
            .map(|side| {
                lattice
                    .step(format!("{side}{n}"), "noop")
                    .after(&layer)
                    .add()
            })
            .to_vec();
    }
    lattice.build().unwrap();
}

#[test]
fn graphs_are_drawn_with_names_escaped() {
    let mut template = TaskTemplate::builder("drawn");
    let first = template.step("say \"hi\" #1 \\ <b>", "h").add();
    template.step("b", "h").after([&first]);
    let template = template.build().unwrap();
    let mermaid = template.to_mermaid();
    assert!(
        mermaid.starts_with("flowchart TD\n") && mermaid.contains("s0 --> s1"),
        "{mermaid}"
    );
    assert!(!mermaid.contains("say \""), "{mermaid}");
    let dot = template.to_dot();
    assert!(
        dot.contains("say \\\"hi\\\" #1 \\\\ <b>") && dot.contains("s0 -> s1;"),
        "{dot}"
    );
}

#[test]
fn identities_tell_what_differs_apart() {
    let template = TaskTemplate::from_yaml(GOOD).unwrap();
    let edited = TaskTemplate::from_yaml(&GOOD.replace("cat input", "cat inputs")).unwrap();
    let input = json!({"b": [1, {"y": null, "x": 2.5}], "a": "é"});
    let same: Value =
        serde_json::from_str("{\"a\": \"\\u00e9\", \"b\": [1, {\"x\": 2.5, \"y\": null}]}")
            .unwrap();
    assert_eq!(
        Identity::strict(&template, &input),
        Identity::strict(&template, &same)
    );
    assert_eq!(
        content_hash(&template, &input),
        content_hash(&template, &same)
    );
    assert_ne!(
        Identity::strict(&template, &input),
        Identity::strict(&edited, &input)
    );
    assert_ne!(
        Identity::strict(&template, &input),
        Identity::strict(&template, &json!(1))
    );
    assert_ne!(
        Identity::unique(&template, &input),
        Identity::unique(&template, &input)
    );
    assert_eq!(
        Identity::caller(&template, "k"),
        Identity::caller(&edited, "k")
    );
    assert_ne!(
        Identity::caller(&template, "k"),
        Identity::caller(&template, "l")
    );
}

fn random_template() -> impl Strategy<Value = TaskTemplate> {
    let step = (
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        "[a-z.\"\\\\é]{1,12}",
        1_u32..100,
        prop::option::of(1_u64..10_000_000),
        "[ -~]{0,20}",
    );
    prop::collection::vec(step, 1..20).prop_map(|steps| {
        let mut template = TaskTemplate::builder("random").namespace("props");
        let mut refs: Vec<StepRef> = Vec::new();
        for (n, (parents, callable, max_attempts, timeout, text)) in steps.into_iter().enumerate() {
            let mut its_parents: Vec<StepRef> = Vec::new();
            for parent in parents {
                if !refs.is_empty() {
                    let parent = parent.get(&refs).clone();
                    if !its_parents.contains(&parent) {
                        its_parents.push(parent);
                    }
                }
            }
            let mut step = template
                .step(format!("s{n}"), callable)
                .after(&its_parents)
                .with(json!({"text": text, "n": n, "half": 0.5}))
                .retry(RetryPolicy {
                    max_attempts,
                    ..RetryPolicy::default()
                });
            if let Some(timeout) = timeout {
                step = step.timeout(Duration::from_millis(timeout));
            }
            refs.push(step.add());
        }
        template.build().unwrap()
    })
}

proptest! {
    #[test]
    fn canonical_json_is_read_back_as_the_same_template(template in random_template()) {
        let text = template.canonical_json();
        let back = TaskTemplate::from_json(&text).unwrap();
        prop_assert_eq!(&back, &template);
        prop_assert_eq!(back.canonical_json(), text);
    }

    #[test]
    fn the_order_puts_parents_before_children(template in random_template()) {
        let graph = template.graph();
        let mut at = vec![0; graph.len()];
        for (position, &step) in graph.topological_order().iter().enumerate() {
            at[step] = position;
        }
        for child in 0..graph.len() {
            for &parent in graph.parents(child) {
                prop_assert!(at[parent] < at[child]);
                prop_assert!(graph.level(parent) < graph.level(child));
            }
        }
    }

    #[test]
    fn no_document_makes_the_reader_panic(text in "[a-z:\\[\\]{}\"',\n -]{0,200}") {
        let _ = TaskTemplate::from_yaml(&text);
        let _ = TaskTemplate::from_json(&text);
    }
}
