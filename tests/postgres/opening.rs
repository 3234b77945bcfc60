//! Making, finding and refusing schemas.

use std::time::Duration;

use postroom::orchestration::store::postgres::{PostgresOptions, PostgresStore};
use postroom::orchestration::store::{Store, StoreError, TaskFilter};
use sqlx::{Connection, Executor, PgConnection, Row};
use uuid::Uuid;

use super::cluster;
use super::kit::{assert_sound, claim, open, submit, succeed, task};

#[tokio::test]
async fn o12_a_newer_schema_is_refused_and_left_alone() {
    let url = cluster::database().await;
    open(&url).await.close().await;
    let mut by_hand = PgConnection::connect(&url).await.unwrap();
    by_hand
        .execute("INSERT INTO postroom.migrations VALUES (99, 0)")
        .await
        .unwrap();
    let error = PostgresStore::open(&url, PostgresOptions::default())
        .await
        .unwrap_err();
    let refused = matches!(error, StoreError::SchemaVersion { found: 99, .. });
    assert!(refused, "{error}");
    assert!(error.to_string().contains("newer"), "{error}");
}

#[tokio::test]
async fn o12_an_older_schema_is_brought_up_to_date() {
    let url = cluster::database().await;
    let mut by_hand = PgConnection::connect(&url).await.unwrap();
    // As a process leaves it that got no further than this.
    by_hand.execute("CREATE SCHEMA postroom").await.unwrap();
    let store = open(&url).await;
    submit(&store, task(&[&[]])).await;
    store.close().await;
}

/// The first version, with a task in it.
#[tokio::test]
async fn o12_the_tasks_of_an_older_schema_are_kept() {
    const FIRST: &str =
        include_str!("../../src/orchestration/store/postgres/migrations/0001_first.sql");
    const RECORD: &str = "CREATE TABLE postroom.migrations (version bigint PRIMARY KEY, applied_at bigint NOT NULL);
        INSERT INTO postroom.migrations VALUES (1, 0);
        INSERT INTO postroom.tasks (uuid, identity, content, namespace, name, version, state, run, priority,
            failure_policy, correlation_id, submitted_by, steps_total, steps_pending, steps_active, steps_retry_wait,
            steps_satisfied, steps_failed, steps_cancelled, created_at)
        SELECT u, '', '', 'default', 'old', '1.0.0', 'blocked', 1, 0, 'continue', u, u, 1, 0, 1, 0, 0, 0, 0, 0
        FROM gen_random_uuid() AS u";
    let url = cluster::database().await;
    let mut by_hand = PgConnection::connect(&url).await.unwrap();
    for statements in ["CREATE SCHEMA postroom", FIRST, RECORD] {
        by_hand.execute(sqlx::raw_sql(statements)).await.unwrap();
    }
    let store = open(&url).await;
    let tasks = store.tasks(TaskFilter::default()).await.unwrap();
    assert_eq!((tasks.len(), tasks[0].name.as_str()), (1, "old"));
    assert_eq!(store.census().await.unwrap().blocked_tasks, 1);
    store.close().await;
}

#[tokio::test]
async fn looking_makes_no_schema() {
    let url = cluster::database().await;
    let options = PostgresOptions::default().create(false);
    let error = PostgresStore::open(&url, options.clone())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("no schema `postroom`"),
        "{error}"
    );
    let mut by_hand = PgConnection::connect(&url).await.unwrap();
    let found = by_hand
        .fetch_one("SELECT to_regnamespace('postroom') IS NULL")
        .await
        .unwrap();
    assert!(found.get::<bool, _>(0));
    open(&url).await.close().await;
    PostgresStore::open(&url, options)
        .await
        .unwrap()
        .close()
        .await;
}

#[tokio::test]
async fn o15_what_cannot_be_opened_is_named_without_its_password() {
    let nowhere = "postgres://me:secret@127.0.0.1:1/work";
    let error = PostgresStore::open(nowhere, PostgresOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    let said = format!("{error} {error:?}");
    assert!(said.contains("me@127.0.0.1:1/work"), "{said}");
    assert!(!said.contains("secret"), "{said}");

    let url = cluster::database().await;
    let store = open(&url.replace("postgres@", "postgres:secret@")).await;
    let said = format!("{store:?} {}", store.name());
    assert!(
        said.contains("postgres@") && !said.contains("secret"),
        "{said}"
    );
    store.close().await;
}

#[tokio::test]
async fn what_a_database_is_set_to_holds_for_others() {
    let url = cluster::database().await;
    let mut by_hand = PgConnection::connect(&url).await.unwrap();
    for setting in [
        "default_transaction_read_only = on",
        "default_transaction_isolation = 'serializable'",
    ] {
        let name: String = by_hand
            .fetch_one("SELECT current_database()")
            .await
            .unwrap()
            .get(0);
        let alter = format!("ALTER DATABASE \"{name}\" SET {setting}");
        by_hand.execute(sqlx::AssertSqlSafe(alter)).await.unwrap();
    }
    let store = open(&url).await;
    let process = Uuid::new_v4();
    submit(&store, task(&[&[]])).await;
    let step = claim(&store, process, 1).await.remove(0);
    let heartbeat = store.heartbeat(process, Duration::from_mins(1)).await;
    assert_eq!(heartbeat.unwrap().held, [step.lease()]);
    succeed(&store, &step, process).await;
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test]
async fn another_encoding_is_refused() {
    let url = cluster::database().await;
    let mut by_hand = PgConnection::connect(&url).await.unwrap();
    let name = format!("latin_{}", uuid::Uuid::new_v4().simple());
    let create = format!(
        "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    by_hand.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
    let error = PostgresStore::open(&url.replace(url.name(), &name), PostgresOptions::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("UTF8"), "{error}");
    let drop = format!("DROP DATABASE {name}");
    by_hand.execute(sqlx::AssertSqlSafe(drop)).await.unwrap();
}
