//! Holds every statement of this folder against the planner: none may look through all steps, tasks or
//! history, whatever the planner thinks of an empty database.

use sqlx::{AssertSqlSafe, Connection, Row};

use super::claim;
use super::connect::Place;
use super::migrate::migrate;
use super::opening::at_the_time;
use super::options::SqliteOptions;
use super::read::{asked, list, of_content};
use super::set::values;

const SOURCES: &[&str] = &[
    include_str!("audit.rs"),
    include_str!("block.rs"),
    include_str!("claim.rs"),
    include_str!("cleanup.rs"),
    include_str!("complete.rs"),
    include_str!("completed.rs"),
    include_str!("fresh.rs"),
    include_str!("lease.rs"),
    include_str!("operate.rs"),
    include_str!("process.rs"),
    include_str!("read.rs"),
    include_str!("readied.rs"),
    include_str!("started.rs"),
    include_str!("step_row.rs"),
    include_str!("submit.rs"),
    include_str!("sweep.rs"),
    include_str!("task_row.rs"),
    include_str!("unit.rs"),
];

/// What is looked through on purpose: sets that are parameters, the few processes, what is live, and, where
/// people ask for a list, the tasks from the newest on.
const MAY_BE_SCANNED: &[&str] = &[
    "SCAN j",
    "SCAN v",
    "SCAN c",
    "SCAN r",
    "SCAN f",
    "SCAN json_each",
    "SCAN CONSTANT ROW",
    "SCAN 2 CONSTANT ROWS",
    "SCAN 2-ROW VALUES CLAUSE",
    "SCAN ready",
    "SCAN retry_wait",
    "SCAN (subquery",
    "SCAN p",
    "SCAN postroom_processes",
    "SCAN postroom_migrations",
    "USING INDEX postroom_steps_running",
    "USING COVERING INDEX postroom_steps_running",
    // Dead letters are few, and what is asked for is their list.
    "USING INDEX postroom_steps_failed",
    "USING INDEX postroom_tasks_blocked",
    "USING COVERING INDEX postroom_tasks_blocked",
];

fn statements() -> Vec<&'static str> {
    let mut found = Vec::new();
    for source in SOURCES {
        for literal in source.split('"') {
            // Put together from parts, and looked at by itself.
            if literal.ends_with("WHERE ")
                || literal.ends_with("'blocked')")
                || literal.trim_end().ends_with("FROM (")
                || literal.ends_with("t.uuid = ?2)")
            {
                continue;
            }
            let word = literal.split_whitespace().next().unwrap_or("");
            if ["SELECT", "UPDATE", "INSERT", "DELETE", "WITH"].contains(&word) {
                found.push(literal);
            }
        }
    }
    found
}

/// What is put together from parts. Lists of tasks by template or content must not depend on how many others
/// there are.
fn composed() -> [String; 7] {
    [
        list!(of_content!()).to_owned(),
        list!("namespace = ?2 AND name = ?3").to_owned(),
        claim::RUNNABLE.to_owned(),
        claim::RUNNABLE_OF_TASK.to_owned(),
        at_the_time(claim::RUNNABLE),
        at_the_time(claim::RUNNABLE_OF_TASK),
        claim::NEXT_DUE.to_owned(),
    ]
}

#[tokio::test]
async fn no_statement_looks_through_everything() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place {
        path: folder.path().join("plans.db"),
        options: SqliteOptions::default(),
    };
    place.create().await.unwrap();
    let mut conn = place.writer().await.unwrap();
    migrate(&mut conn, &place).await.unwrap();
    let statements = statements();
    assert!(statements.len() > 35, "{} found", statements.len());
    let mut bad = Vec::new();
    let statements = statements.into_iter().map(str::to_owned);
    for statement in statements.chain(composed()) {
        let mut rows = String::new();
        values(&mut rows, 24, 2);
        let statement = statement.replace("{rows}", &rows);
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let plan = sqlx::raw_sql(AssertSqlSafe(explain));
        let rows = plan.fetch_all(&mut conn).await.unwrap();
        for row in rows {
            let step: String = row.get("detail");
            let scans = step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE");
            if scans && !MAY_BE_SCANNED.iter().any(|part| step.contains(part)) {
                bad.push(format!("{step}\n    in {statement}"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    conn.close().await.unwrap();
}

/// A parameter that is a limit by itself, or is held against the condition of a partial index, is a part of the plan:
/// `SQLite` prepares such a statement anew whenever it is executed, which takes many times as long as the statement.
#[test]
fn no_parameter_has_a_statement_prepared_again() {
    for source in SOURCES {
        assert!(!source.contains("AND postroom_steps.state = j."));
    }
    let sources = SOURCES.iter().chain([&include_str!("census.rs")]);
    let limits = sources.flat_map(|source| source.split("LIMIT ?").skip(1));
    let mut found = 0;
    for limit in limits {
        let after = limit.trim_start_matches(|c: char| c.is_ascii_digit());
        assert!(
            after.starts_with(" + 0"),
            "LIMIT ?{}",
            limit.lines().next().unwrap_or("")
        );
        found += 1;
    }
    assert!(found > 10, "{found} found");
}
