//! Keeps the page of lifecycles true: its tables are generated from the transition tables.

use std::fmt::{Display, Write};
use std::path::Path;

use super::{STEP_TRANSITIONS, TASK_TRANSITIONS};

const BEGIN: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

fn table<S: Display, E: Display>(rows: &[(S, E, S)]) -> String {
    let mut text = String::from("| from | event | to |\n|---|---|---|\n");
    for (from, event, to) in rows {
        writeln!(text, "| {from} | {event} | {to} |").unwrap();
    }
    text
}

fn regenerated(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some(start) = rest.find(BEGIN) {
        let name_end = start + rest[start..].find(" -->").unwrap();
        let rows = match &rest[start + BEGIN.len()..name_end] {
            "task" => table(TASK_TRANSITIONS),
            "step" => table(STEP_TRANSITIONS),
            other => panic!("no table is called {other:?}"),
        };
        text.push_str(&rest[..name_end + " -->".len()]);
        text.push_str("\n\n");
        text.push_str(&rows);
        text.push('\n');
        rest = &rest[rest.find(END).unwrap()..];
        text.push_str(END);
        rest = &rest[END.len()..];
    }
    text.push_str(rest);
    text
}

/// To write the tables anew: `POSTROOM_WRITE_PAGES=1 cargo test --features orchestration lifecycles_page`.
#[test]
fn the_lifecycles_page_shows_the_transition_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/orchestration/state/lifecycles.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let regenerated = regenerated(&page);
    if std::env::var_os("POSTROOM_WRITE_PAGES").is_some() {
        std::fs::write(&path, &regenerated).unwrap();
    } else {
        assert!(page == regenerated, "{} is out of date", path.display());
    }
}
