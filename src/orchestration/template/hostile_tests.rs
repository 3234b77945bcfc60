//! Documents that were written to hurt, and templates at the limits.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

/// A template around the lines of its steps; the first of them is line 4.
fn with_steps(steps: &str) -> String {
    format!("name: t\nversion: \"1.0.0\"\nsteps:\n{steps}")
}

fn said(yaml: &str) -> Vec<String> {
    TaskTemplate::from_yaml(yaml)
        .expect_err("it must be refused")
        .as_slice()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn settings(yaml: &str) -> Result<Value, TemplateErrors> {
    let step = format!("  - {{ name: a, handler: {{ callable: h, initialization: {yaml} }} }}\n");
    TaskTemplate::from_yaml(&with_steps(&step))
        .map(|template| template.steps()[0].initialization().clone())
}

fn nested(depth: usize) -> String {
    format!("{{ n: {}1{} }}", "[".repeat(depth), "]".repeat(depth))
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().concat()
}

/// Runs with an eighth of the stack that a runtime's worker thread has.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn a_document_that_is_too_deep_is_refused_and_costs_no_stack() {
    on_a_small_stack(|| {
        // The settings are a map, and lie within two maps, a list and another map.
        let deepest = settings(&nested(59)).unwrap();
        assert!(deepest["n"].is_array());
        assert!(
            settings(&nested(60))
                .unwrap_err()
                .to_string()
                .contains("64 lists and maps")
        );
        for depth in [200, 2_000, 100_000] {
            assert!(settings(&nested(depth)).is_err(), "{depth}");
        }
        let json = "[".repeat(1_000_000);
        assert!(TaskTemplate::from_json(&json).is_err());
        let closed = json + &"]".repeat(1_000_000);
        assert!(TaskTemplate::from_json(&closed).is_err());
    });
}

#[test]
fn every_template_at_the_limits_is_read_back_from_its_canonical_form() {
    let mut deep = TaskTemplate::builder("deep");
    let value: Value = (1..60).fold(json!(1), |inner, _| json!([inner]));
    deep.step("a", "h")
        .with(json!({ "n": value }))
        .timeout(MAX_TIMEOUT);
    let deep = deep.build().unwrap();
    assert_eq!(
        TaskTemplate::from_json(&deep.canonical_json()).unwrap(),
        deep
    );

    let mut deeper = TaskTemplate::builder("deeper");
    deeper.step("a", "h").with(json!({ "n": [value] }));
    assert!(
        deeper
            .build()
            .unwrap_err()
            .to_string()
            .contains("60 lists and maps")
    );

    for timeout in [
        MAX_TIMEOUT + Duration::from_millis(1),
        Duration::MAX,
        Duration::ZERO,
    ] {
        let mut template = TaskTemplate::builder("t");
        template.step("a", "h").timeout(timeout);
        let error = template.build().unwrap_err().to_string();
        assert!(error.contains("must be from 0.001 to 31536000"), "{error}");
    }

    let mut large = TaskTemplate::builder("large");
    large
        .step("a", "h")
        .with(json!({ "text": "x".repeat(MAX_DOCUMENT_BYTES) }));
    assert_eq!(
        large.build().unwrap_err().as_slice()[0].problem,
        Problem::TooLarge
    );
}

#[test]
fn aliases_are_counted_as_if_they_were_written_out() {
    let text = "x".repeat(100_000);
    let aliases =
        |count: usize| format!("{{ a: &a {text}, b: [{}] }}", vec!["*a"; count].join(", "));
    assert_eq!(settings(&aliases(10)).unwrap()["b"][9], text);
    let error = settings(&aliases(1_000)).unwrap_err();
    assert_eq!(error.as_slice()[0].problem, Problem::TooLarge);
    assert!(
        error.as_slice()[0].place.is_some(),
        "refused at the alias, before anything is written out"
    );

    let doubled = |levels: usize| {
        let levels = (1..levels).map(|n| format!(", a{n}: &a{n} [*a{m}, *a{m}]", m = n - 1));
        format!("{{ a0: &a0 [x]{} }}", levels.collect::<String>())
    };
    assert!(settings(&doubled(5)).is_ok());
    let error = settings(&doubled(55)).unwrap_err();
    assert_eq!(error.as_slice()[0].problem, Problem::TooLarge);
    // Each list holds the one before it: short to write, and as deep as there are lists.
    let stacked = |levels: usize| {
        let lists = (1..levels).map(|n| format!(", a{n}: &a{n} [*a{}]", n - 1));
        format!("{{ a0: &a0 [x]{} }}", lists.collect::<String>())
    };
    assert!(settings(&stacked(59)).is_ok());
    let error = settings(&stacked(61)).unwrap_err().to_string();
    assert!(
        error.starts_with("line 4") && error.contains("64 lists and maps"),
        "{error}"
    );
    let error = settings("{ a: &a [*a] }").unwrap_err().to_string();
    assert!(
        error.contains("an alias stands within what it refers to"),
        "{error}"
    );
}

#[test]
fn aliases_and_merges_mean_what_they_stand_for() {
    let template = TaskTemplate::from_yaml(&with_steps(
        "  - &base\n    name: a\n    timeout_seconds: 5\n    handler: { callable: h }\n\
         \x20 - <<: *base\n    name: b\n    depends_on: [a]\n",
    ))
    .unwrap();
    let b = &template.steps()[1];
    assert_eq!((b.name(), b.callable()), ("b", "h"));
    assert_eq!(b.timeout(), Some(Duration::from_secs(5)));
    let merged = settings(
        "{ one: &one {k: 1, l: 1}, two: &two {k: 2, m: 2}, all: {<<: [*one, *two], l: 3} }",
    );
    assert_eq!(merged.unwrap()["all"], json!({"k": 1, "l": 3, "m": 2}));
    assert_eq!(settings("{ \"<<\": 1 }").unwrap(), json!({"<<": 1}));
    assert!(
        settings("{ <<: 1 }")
            .unwrap_err()
            .to_string()
            .contains("`<<` takes a map")
    );
    // What was defined with a mistake is reported where the mistake is.
    let found = said(&with_steps(
        "  - &base\n    name: a\n    timeot_seconds: 5\n    handler: { callable: h }\n",
    ));
    assert!(
        found[0].starts_with("line 6, column 5: unknown key `timeot_seconds`"),
        "{found:?}"
    );
}

#[test]
fn long_names_and_many_mistakes_cost_no_more_than_their_document() {
    let start = Instant::now();
    let long = "a".repeat(1_000_000);
    let found = said(&with_steps(&format!(
        "  - {{ name: {long}, handler: {{ callable: h }} }}\n  - {{ name: b, depends_on: [b{long}], handler: {{ callable: h }} }}\n",
    )));
    assert_eq!(found.len(), 2, "too long, and unknown");
    assert!(found.iter().all(|line| line.len() < 1_000));

    let keys = lines(50_000, |n| format!("    k{n}: 1\n"));
    let found = TaskTemplate::from_yaml(&with_steps(&format!(
        "  - name: {long}\n    handler: {{ callable: h }}\n{keys}"
    )))
    .unwrap_err();
    assert_eq!(
        (found.as_slice().len(), found.more()),
        (MAX_PROBLEMS, 50_001 - MAX_PROBLEMS)
    );
    let text = found.to_string();
    assert!(text.len() < 100_000 && text.ends_with("and 49901 more problems"));

    let unknown = lines(5_000, |n| {
        format!(
            "  - {{ name: some_step_{n}, depends_on: [somestep_{n}], handler: {{ callable: h }} }}\n"
        )
    });
    assert!(TaskTemplate::from_yaml(&with_steps(&unknown)).is_err());
    // What this guards against takes hours; the bound only has to be far from both.
    assert!(
        start.elapsed() < Duration::from_mins(1),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_long_cycle_is_told_in_short_and_each_cycle_is_told() {
    let ring = |name: &str, count: usize| -> String {
        lines(count, |n| {
            let before = (n + count - 1) % count;
            format!(
                "  - {{ name: {name}{n}, depends_on: [{name}{before}], handler: {{ callable: h }} }}\n"
            )
        })
    };
    let found = said(&with_steps(&(ring("x", 5_000) + &ring("y", 2))));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("-> ... (") && found[0].len() < 400,
        "{}",
        found[0]
    );
    assert!(found[1].ends_with("y0 -> y1 -> y0"), "{}", found[1]);
    // A step that only hangs on a cycle is not part of it.
    let found = said(&with_steps(
        &(ring("x", 2) + "  - { name: z, depends_on: [x0], handler: { callable: h } }\n"),
    ));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn one_mistake_hides_no_other_and_makes_no_other() {
    let found = said(&with_steps(
        "  - name: a\n  - { name: b, depends_on: [a], handler: { callable: h } }\n",
    ));
    assert_eq!(found, ["line 4, column 5: step \"a\" has no `handler`"]);

    let found = said(
        "version: \"1\"\nsteps:\n  - { name: a, depends_on: [b, zz], handler: { callable: h } }\n  - { name: b, depends_on: [a], handler: { callable: h } }\n  - { name: b, handler: { callable: h } }\n",
    );
    for part in [
        "has no `name`",
        "version \"1\"",
        "unknown step \"zz\"",
        "a -> b -> a",
        "declared twice",
    ] {
        assert!(
            found.iter().any(|line| line.contains(part)),
            "{part}: {found:?}"
        );
    }
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn what_the_parser_would_pass_over_is_refused() {
    for (yaml, part) in [
        ("{ a: !secret x }", "the tag \"!secret\" is not supported"),
        ("{ a: !!binary aGk= }", "is not supported"),
        ("{ a: !list [x] }", "is not supported"),
        ("{ a: .nan }", ".nan is not a number that JSON can hold"),
        ("{ a: 1e999 }", "out of range"),
        ("{ ~: x }", "a key must be a text, this is nothing"),
        ("{ [1]: x }", "a key must be a text"),
        ("{ a: 1, a: 2 }", "the key `a` stands twice"),
        (
            "[1]",
            "`initialization` of the handler of step \"a\" must be a map, this is a list",
        ),
    ] {
        let error = settings(yaml).unwrap_err().to_string();
        assert!(
            error.contains(part) && error.starts_with("line 4"),
            "{yaml}: {error}"
        );
    }
    let twice = with_steps("  - { name: a, handler: { callable: h } }\n---\nname: t\n");
    assert!(said(&twice)[0].contains("a second document begins here"));
    assert_eq!(
        settings("{ a: !!str 12, 1: no }").unwrap(),
        json!({"a": "12", "1": "no"})
    );
}

#[test]
fn messages_are_one_line_each_and_hold_no_control_characters() {
    let found = said(&with_steps(
        "  - { name: \"a\\e[31m\\n\", \"k\\ny\": 1, depends_on: [\"d\\n\", \"a\\e[31m\\n\"], handler: { callable: h } }\n",
    ));
    assert!(found.len() >= 4, "{found:?}");
    for line in &found {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    let twice = TaskTemplate::from_json("{\"\\u001b\": 1, \"\\u001b\": 1}").unwrap_err();
    assert!(
        !twice.to_string().chars().any(char::is_control),
        "{twice:?}"
    );
    for blank in ["' '", "' a'", "\"\\t\""] {
        let step = format!("  - {{ name: {blank}, handler: {{ callable: h }} }}\n");
        assert!(
            said(&with_steps(&step))[0].contains("the name of a step"),
            "{blank}"
        );
    }
}

#[test]
fn json_means_the_same_however_it_is_laid_out() {
    let json = |value: &str, colon: &str| {
        format!(
            "{{\"name\"{colon}\"t\",\"version\":\"1.0.0\",\"steps\":[{{\"name\":\"a\",\"handler\":{{\"callable\":\"h\",\"initialization\":{{\"v\":{value}}}}}}}]}}"
        )
    };
    for value in [
        "1e5",
        "1.0",
        "-0.5",
        "18446744073709551615",
        "-9223372036854775808",
        "true",
        "null",
        "\"\\ud83d\\ude00\\/\\u0000\\u0085\\u2028\"",
        "{\"<<\":{\"a\":1}}",
        "\"~\"",
        "\"no\"",
        "{\"0x1\":1,\"1\":2}",
        "0.1",
        "5e-324",
    ] {
        let expected: Value = serde_json::from_str(value).unwrap();
        // A colon on the next line is JSON and not YAML: it is read without places.
        for text in [
            json(value, ":"),
            json(value, "\n:"),
            format!("\u{feff}{}", json(value, "\t:\r\n\t")),
        ] {
            let template = TaskTemplate::from_json(&text).unwrap();
            assert_eq!(
                template.steps()[0].initialization()["v"],
                expected,
                "{text}"
            );
        }
    }
    for bad in [
        "{\"name\"\n: 1, \"name\": 2}",
        "{'name': 1}",
        "{\"a\": 1,}",
        "# c\n{}",
        "",
    ] {
        assert!(TaskTemplate::from_json(bad).is_err(), "{bad}");
    }
    let long_key = "k".repeat(5_000);
    let text = json(&format!("{{\"{long_key}\": 1}}"), ":");
    let template = TaskTemplate::from_json(&text).unwrap();
    assert_eq!(template.steps()[0].initialization()["v"][&long_key], 1);
}

#[test]
fn files_are_read_as_editors_write_them_and_bad_bytes_have_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.yaml");
    let text = with_steps("  - { name: a, handler: { callable: h } }\n").replace('\n', "\r\n");
    std::fs::write(&file, format!("\u{feff}{text}")).unwrap();
    assert_eq!(TaskTemplate::load(&file).unwrap().steps().len(), 1);
    std::fs::write(&file, b"name: t\nversion: \xc3\xa9\xff\n").unwrap();
    let error = TaskTemplate::load(&file).unwrap_err().to_string();
    assert!(
        error.ends_with("t.yaml:2:11: the file is not UTF-8 from here on"),
        "{error}"
    );
    std::fs::write(&file, "#".repeat(MAX_DOCUMENT_BYTES + 1)).unwrap();
    assert!(
        TaskTemplate::load(&file)
            .unwrap_err()
            .to_string()
            .contains("larger than")
    );
}

#[test]
fn serde_goes_through_validation() {
    let template =
        TaskTemplate::from_yaml(&with_steps("  - { name: a, handler: { callable: h } }\n"))
            .unwrap();
    let text = serde_json::to_string(&template).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        serde_json::from_str::<Value>(&template.canonical_json()).unwrap()
    );
    assert_eq!(
        serde_json::from_str::<TaskTemplate>(&text).unwrap(),
        template
    );
    let error = serde_json::from_str::<TaskTemplate>(
        &text.replace("dependencies\":[]", "dependencies\":[\"x\"]"),
    )
    .unwrap_err();
    assert!(error.to_string().contains("unknown step \"x\""), "{error}");
    let twice = text.replacen('{', "{\"name\":\"t\",", 1);
    assert!(serde_json::from_str::<TaskTemplate>(&twice).is_err());
}

#[test]
fn what_stands_out_of_reach_is_named_the_same_each_time() {
    // Two names are equally close: the first in the template is suggested.
    let yaml = with_steps(
        "  - { name: load_b, handler: { callable: h } }\n  - { name: load_a, handler: { callable: h } }\n  - { name: z, depends_on: [load_c], handler: { callable: h } }\n",
    );
    for _ in 0..20 {
        assert!(said(&yaml)[0].ends_with("(did you mean \"load_b\"?)"));
    }
    // A word of one letter is not a misspelling of every other one.
    let yaml = with_steps(
        "  - { name: a, handler: { callable: h } }\n  - { name: b, depends_on: [c], handler: { callable: h } }\n",
    );
    assert!(!said(&yaml)[0].contains("did you mean"));
}
