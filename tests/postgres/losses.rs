//! Connections that are cut and servers that go away.

use std::sync::Arc;
use std::time::Duration;

use postroom::orchestration::state::TaskState;
use postroom::orchestration::store::postgres::PostgresOptions;
use postroom::orchestration::store::{Store, StoreError, Submission};
use sqlx::{Connection, Executor, PgConnection, Row};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::cluster::{self, Cluster};
use super::kit::{assert_sound, chain, claim, open, open_with, run_out, submit, success, task};
use super::outage;

/// Work goes on while every connection is cut, again and again: nothing is lost, nothing is done twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o02_connections_that_are_cut_at_any_moment_lose_and_double_nothing() {
    let url = cluster::database().await;
    let store = Arc::new(open(&url).await);
    let mut working = JoinSet::new();
    for _ in 0..4 {
        let store = Arc::clone(&store);
        working.spawn(async move {
            let process = Uuid::new_v4();
            for _ in 0..25 {
                submit(&store, chain()).await;
                run_out(&store, process).await;
            }
        });
    }
    let cutter = {
        let url = url.to_owned();
        tokio::spawn(async move {
            let mut cuts = 0;
            let mut by_hand = PgConnection::connect(&url).await.unwrap();
            loop {
                let cut = by_hand
                    .fetch_all(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                         WHERE application_name = 'postroom' AND datname = current_database()",
                    )
                    .await
                    .unwrap();
                cuts += cut.len();
                let pause = by_hand.execute("SELECT pg_sleep(0.01 + random() * 0.05)");
                pause.await.unwrap();
                if cuts > 10_000 {
                    return;
                }
            }
        })
    };
    working.join_all().await;
    cutter.abort();
    let _ = cutter.await;
    // What a worker had claimed and not yet completed when it looked for the last time is another's.
    run_out(&store, Uuid::new_v4()).await;
    let tasks = store
        .tasks(postroom::orchestration::store::TaskFilter {
            limit: 1_000,
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(tasks.len(), 100);
    for task in &tasks {
        assert_eq!(task.state, TaskState::Complete, "{task:?}");
        for step in store.steps(task.task_uuid).await.unwrap() {
            assert_eq!((step.attempts, step.epoch), (1, 1), "{step:?}");
        }
    }
    assert_sound(&store).await;
    store.close().await;
}

/// Replaces the row of a commit, as if the transaction had been undone, or leaves it, and says what is
/// answered then.
#[tokio::test]
async fn o02_a_server_that_restarts_is_found_again() {
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let store = Arc::new(open(&url).await);
    let process = Uuid::new_v4();
    let first = submit(&store, task(&[&[], &[0]])).await;
    let step = claim(&store, process, 1).await.remove(0);

    cluster.down();
    let waiting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let completions = vec![success(&step, process)];
            let outcome = store.complete(completions).await.unwrap().remove(0);
            let new = task(&[&[]]);
            let uuid = new.task_uuid;
            let answer = store.submit(vec![new]).await.unwrap().remove(0).unwrap();
            assert_eq!(answer, Submission::Created { task_uuid: uuid });
            (outcome, uuid)
        })
    };
    let reading = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.task(first).await.unwrap().unwrap().state })
    };
    cluster.up();
    let (_, second) = waiting.await.unwrap();
    assert_eq!(reading.await.unwrap(), TaskState::Running);
    assert_eq!(run_out(&store, process).await, 2);
    for task in [first, second] {
        let record = store.task(task).await.unwrap().unwrap();
        assert_eq!(record.state, TaskState::Complete);
    }
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test]
async fn a_server_that_stays_away_is_a_typed_error() {
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let patience = Duration::from_millis(300);
    let store = open_with(&url, PostgresOptions::default().patience(patience)).await;
    submit(&store, chain()).await;
    cluster.down();
    let error = store.submit(vec![chain()]).await.unwrap_err();
    let away = matches!(error, StoreError::Unavailable { waited_ms, .. } if waited_ms >= 300);
    assert!(away && error.is_transient(), "{error:?}");
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    cluster.up();
    submit(&store, chain()).await;
    store.close().await;
}

#[tokio::test]
async fn o13_a_server_that_is_away_opens_the_breaker() {
    let cluster = Cluster::start();
    let url = cluster.database().await;
    let patience = Duration::from_millis(100);
    let store = open_with(&url, PostgresOptions::default().patience(patience)).await;
    outage::o13_a_step_that_ends_in_an_outage_is_recorded_after_it(
        Arc::new(store),
        async || cluster.down(),
        async |()| cluster.up(),
    )
    .await;
}

/// Nobody may log in for a while: as when a password is changed, or a database is taken out of service.
#[tokio::test]
async fn o13_a_step_that_ends_while_logins_are_refused_is_recorded_after_it() {
    let cluster = Cluster::start();
    for refusal in Refusal::ALL {
        let database = cluster.database().await;
        let name = database.split(['/', '?']).nth(3).unwrap().to_owned();
        let mut by_hand = PgConnection::connect(&cluster.url("postgres"))
            .await
            .unwrap();
        let guest = format!("guest_of_{name}");
        for statement in [
            format!("CREATE ROLE {guest} LOGIN"),
            format!("ALTER DATABASE {name} OWNER TO {guest}"),
        ] {
            by_hand
                .execute(sqlx::AssertSqlSafe(statement))
                .await
                .unwrap();
        }
        let url = database.replace("//postgres@", &format!("//{guest}@"));
        let patience = Duration::from_millis(100);
        let store = open_with(&url, PostgresOptions::default().patience(patience)).await;
        let (away, back) = refusal.statements(&name, &guest);
        outage::o13_a_step_that_ends_in_an_outage_is_recorded_after_it(
            Arc::new(store),
            async || {
                by_hand.execute(sqlx::AssertSqlSafe(away)).await.unwrap();
                let cut =
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1";
                let cut = sqlx::query(cut).bind(guest).fetch_all(&mut by_hand);
                assert!(!cut.await.unwrap().is_empty());
                by_hand
            },
            async |mut by_hand| {
                by_hand.execute(sqlx::AssertSqlSafe(back)).await.unwrap();
            },
        )
        .await;
    }
}

#[derive(Clone, Copy)]
enum Refusal {
    OfTheRole,
    OfTheDatabase,
}

impl Refusal {
    const ALL: [Self; 2] = [Self::OfTheRole, Self::OfTheDatabase];

    /// What refuses, and what ends it.
    fn statements(self, database: &str, guest: &str) -> (String, String) {
        match self {
            Self::OfTheRole => (
                format!("ALTER ROLE {guest} NOLOGIN"),
                format!("ALTER ROLE {guest} LOGIN"),
            ),
            Self::OfTheDatabase => (
                format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false"),
                format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true"),
            ),
        }
    }
}

/// What is acknowledged is on the disk, whatever the database is set to.
#[tokio::test]
async fn o12_a_commit_is_waited_for_where_commits_are_not() {
    // Nothing else writes there, and nothing brings it to the disk by itself.
    let cluster = Cluster::start_with(
        "wal_level = minimal\nmax_wal_senders = 0\nautovacuum = off\nwal_writer_delay = 10s\n\
         wal_writer_flush_after = 0\n",
    );
    let database = cluster.database().await;
    let mut by_hand = PgConnection::connect(&database).await.unwrap();
    let name = database.split(['/', '?']).nth(3).unwrap();
    let off = format!("ALTER DATABASE {name} SET synchronous_commit = off");
    by_hand.execute(sqlx::AssertSqlSafe(off)).await.unwrap();
    for poll_only in [false, true] {
        let store = open_with(&database, PostgresOptions::default().poll_only(poll_only)).await;
        for _ in 0..3 {
            submit(&store, chain()).await;
            let is_durable: bool = sqlx::query_scalar(
                "SELECT pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()",
            )
            .fetch_one(&mut by_hand)
            .await
            .unwrap();
            assert!(is_durable, "poll_only: {poll_only}");
        }
        store.close().await;
    }
}

/// A process that is stopped in the middle of a transaction does not hold up the others for ever.
#[tokio::test]
async fn o13_whoever_holds_a_row_and_does_nothing_is_cut_off() {
    let url = cluster::database().await;
    let bound = Duration::from_millis(400);
    let options = PostgresOptions::default()
        .statement_timeout(bound)
        .patience(bound);
    let store = open_with(&url, options).await;
    let uuid = submit(&store, chain()).await;
    let process = Uuid::new_v4();
    let step = claim(&store, process, 1).await.remove(0);
    let mut holder = PgConnection::connect(&url).await.unwrap();
    holder.execute("BEGIN").await.unwrap();
    holder
        .execute("SELECT 1 FROM postroom.tasks FOR UPDATE")
        .await
        .unwrap();

    let error = store
        .complete(vec![success(&step, process)])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error:?}");
    assert!(store.task(uuid).await.unwrap().is_some(), "readers go on");
    store.ping().await.unwrap();
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(super::kit::succeed(&store, &step, process).await, 1);
    // The store's own transactions are cut off by the server.
    let row = holder
        .fetch_one("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND application_name = 'postroom' AND datname = current_database()")
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(0), 0);
    store.close().await;
}
