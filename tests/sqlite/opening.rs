//! Making, finding and refusing files.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use postroom::orchestration::state::TaskState;
use postroom::orchestration::store::sqlite::{SqliteOptions, SqliteStore};
use postroom::orchestration::store::{Store, StoreError, TaskFilter};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;
use uuid::Uuid;

use super::kit::{assert_sound, chain, claim, open, open_with, place, raw, submit, success};

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_file_and_what_lies_beside_it() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = place();
    let store = open(&path).await;
    submit(&store, chain(1)).await;
    store.ping().await.unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
        files += 1;
    }
    assert_eq!(files, 3, "the file, its log, its index");
    store.close().await;
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "closing folds the log into the file");
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let (_folder, path) = place();
    let process = Uuid::new_v4();
    let first = open(&path).await;
    let task = submit(&first, chain(2)).await;
    let step = claim(&first, process, 1).await.remove(0);
    first.complete(vec![success(&step, process)]).await.unwrap();
    let (steps, history) = (
        first.steps(task).await.unwrap(),
        first.history(task).await.unwrap(),
    );
    first.close().await;

    let url = format!("sqlite://{}", path.display());
    let second = SqliteStore::open(&url, SqliteOptions::default())
        .await
        .unwrap();
    assert_eq!(second.steps(task).await.unwrap(), steps);
    assert_eq!(second.history(task).await.unwrap(), history);
    let step = claim(&second, process, 1).await.remove(0);
    assert_eq!(step.parents[0].result_json, "\"0\"");
    second
        .complete(vec![success(&step, process)])
        .await
        .unwrap();
    assert_eq!(
        second.task(task).await.unwrap().unwrap().state,
        TaskState::Complete
    );
    assert_sound(&second).await;
    second.close().await;
}

#[tokio::test]
async fn o12_a_newer_schema_is_refused_and_left_alone() {
    let (_folder, path) = place();
    open(&path).await.close().await;
    let mut by_hand = raw(&path).await;
    sqlx::raw_sql("INSERT INTO postroom_migrations VALUES (99, 0)")
        .execute(&mut by_hand)
        .await
        .unwrap();
    let refused = SqliteStore::open(path.to_str().unwrap(), SqliteOptions::default()).await;
    let error = refused.unwrap_err();
    let known = matches!(
        error,
        StoreError::SchemaVersion {
            found: 99,
            known: 3,
            ..
        }
    );
    assert!(known, "{error}");
    assert!(error.to_string().contains("newer"), "{error}");
}

/// The second version, with a task in it; beside it another of the same content, whose identity says so.
#[tokio::test]
async fn o12_the_tasks_of_an_older_schema_are_kept() {
    const FIRST: &str =
        include_str!("../../src/orchestration/store/sqlite/migrations/0001_first.sql");
    const SECOND: &str =
        include_str!("../../src/orchestration/store/sqlite/migrations/0002_operators.sql");
    const RECORD: &str = "
        CREATE TABLE postroom_migrations (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT;
        INSERT INTO postroom_migrations VALUES (1, 0), (2, 0);
        INSERT INTO postroom_tasks (uuid, identity, content, namespace, name, version, state, run, priority,
            correlation_id, submitted_by, steps_total, steps_pending, steps_ready, steps_running, steps_retry_wait,
            steps_satisfied, steps_failed, steps_cancelled, created_at)
        VALUES (zeroblob(16), zeroblob(32), unhex(replace(hex(zeroblob(32)), '0', '1')), 'default', 'old', '1.0.0',
            'blocked', 1, 0, zeroblob(16), zeroblob(16), 1, 0, 1, 0, 0, 0, 0, 0, 0)";
    let (_folder, path) = place();
    let mut by_hand = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .connect()
        .await
        .unwrap();
    for statements in [FIRST, SECOND, RECORD] {
        sqlx::raw_sql(statements)
            .execute(&mut by_hand)
            .await
            .unwrap();
    }
    by_hand.close().await.unwrap();

    let store = open(&path).await;
    let content = [0x11; 32];
    let mut alike = chain(1);
    alike.content = content;
    alike.identity[..16].copy_from_slice(&content[..16]);
    alike.identity[16..].copy_from_slice(alike.task_uuid.as_bytes());
    let alike = submit(&store, alike).await;
    let mut other = chain(1);
    other.content = content;
    other.content[31] = 0;
    other.identity[..16].copy_from_slice(&content[..16]);
    submit(&store, other).await;
    let filter = TaskFilter {
        content: Some(content),
        ..TaskFilter::default()
    };
    let found = store.tasks(filter).await.unwrap();
    let found: Vec<Uuid> = found.iter().map(|task| task.task_uuid).collect();
    assert_eq!(found, [alike, Uuid::nil()], "the latest first");
    assert_eq!(store.census().await.unwrap().blocked_tasks, 1);
    store.close().await;
}

#[tokio::test]
async fn what_cannot_be_opened_is_named() {
    let (folder, _) = place();
    let missing = folder.path().join("no/such/folder/a.db");
    let text = folder.path().join("notes.txt");
    std::fs::write(
        &text,
        "not a database, but long enough to be looked at ".repeat(50),
    )
    .unwrap();
    for (path, word) in [(&missing, "does not exist"), (&text, "not a database")] {
        let path = path.to_str().unwrap();
        let error = SqliteStore::open(path, SqliteOptions::default())
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.contains(path) && said.contains(word), "{said}");
    }
    let kept = std::fs::read_to_string(&text).unwrap();
    assert!(kept.starts_with("not a database"), "and is left alone");
    let error = SqliteStore::open(":memory:", SqliteOptions::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("MemoryStore"), "{error}");
}

#[tokio::test]
async fn many_may_make_the_same_file_at_once() {
    let (_folder, path) = place();
    let opening = (0..8).map(|_| open(&path));
    let stores = super::kit::join_all(opening).await;
    let task = submit(&stores[3], chain(1)).await;
    for store in &stores {
        assert!(store.task(task).await.unwrap().is_some());
    }
    for store in &stores {
        store.close().await;
    }
}

#[tokio::test]
async fn closing_does_not_wait_for_a_read_that_nobody_goes_on_with() {
    let (_folder, path) = place();
    let options = SqliteOptions::default().busy_timeout(Duration::from_millis(50));
    let store = open_with(&path, options).await;
    let mut read = pin!(store.task(Uuid::new_v4()));
    // Begun, and kept: as in a `select!` over a pinned future, when another branch shuts down.
    let mut context = Context::from_waker(Waker::noop());
    assert!(read.as_mut().poll(&mut context).is_pending());
    let exits = timeout(Duration::from_secs(20), store.close())
        .await
        .expect("the store to close");
    assert!(exits[0].account.is_balanced());
}
