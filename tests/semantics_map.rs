//! The page of semantics and the tests must name each other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether this is a name like `r07_abandoned_ask_is_skipped` or `o03_a_lease_runs_out`.
fn is_clause_test(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() > 4
        && matches!(bytes[0], b'r' | b'o')
        && bytes[1].is_ascii_digit()
        && bytes[2].is_ascii_digit()
        && bytes[3] == b'_'
}

fn functions_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("fn ").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        Some(&rest[..end])
    })
}

/// The clause tests of a source file: functions with a clause's number.
fn tests_in(text: &str) -> impl Iterator<Item = String> {
    functions_in(text)
        .filter(|name| is_clause_test(name))
        .map(str::to_owned)
}

/// (clause, test, file) for each row of the page's second table.
fn rows() -> Vec<(String, String, String)> {
    let page = fs::read_to_string(root().join("src/semantics.rs")).unwrap();
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<_> = line
            .strip_prefix("//! |")?
            .split('|')
            .map(str::trim)
            .collect();
        let test = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
        let file = cells.get(2)?.strip_prefix('`')?.strip_suffix('`')?;
        Some((cells[0].to_owned(), test.to_owned(), file.to_owned()))
    });
    rows.collect()
}

#[test]
fn every_test_named_on_the_page_exists_where_it_says() {
    let rows = rows();
    assert!(rows.len() > 100, "the page was read: {} rows", rows.len());
    for (clause, test, file) in rows {
        // The cases of the conformance suite belong to any store, and to several clauses.
        if !file.contains("conformance") {
            let letter = test[..1].to_uppercase();
            let number: u32 = test[1..3].parse().unwrap();
            assert_eq!(clause, format!("{letter}{number}"), "the clause of {test}");
        }
        let text = fs::read_to_string(root().join(&file)).unwrap_or_default();
        assert!(
            functions_in(&text).any(|found| found == test),
            "{test} is not in {file}"
        );
    }
}

#[test]
fn every_clause_test_is_named_on_the_page() {
    let listed: BTreeSet<_> = rows().into_iter().map(|(_, test, _)| test).collect();
    let mut files = Vec::new();
    sources(&root().join("tests"), &mut files);
    sources(&root().join("src"), &mut files);
    let mut missing = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        missing.extend(tests_in(&text).filter(|test| !listed.contains(test)));
    }
    assert!(
        missing.is_empty(),
        "add these to src/semantics.rs: {missing:#?}"
    );
}

#[test]
fn a_clause_that_is_not_yet_proved_has_no_tests_and_any_other_has_some() {
    let page = fs::read_to_string(root().join("src/semantics.rs")).unwrap();
    let tested: BTreeSet<_> = rows().into_iter().map(|(clause, _, _)| clause).collect();
    let mut clauses = 0;
    for line in page.lines() {
        let Some(row) = line.strip_prefix("//! | ") else {
            continue;
        };
        if !row.starts_with(['R', 'O']) {
            continue;
        }
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        if cells[1].starts_with('`') {
            continue;
        }
        clauses += 1;
        let clause = cells[0];
        assert_eq!(tested.contains(clause), cells[1] != "not yet", "{clause}");
    }
    assert_eq!(clauses, 23 + 15);
}
