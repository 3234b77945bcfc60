//! Several transactions of one store at the same time.

use std::time::Duration;

use postroom::orchestration::store::postgres::PostgresOptions;
use postroom::orchestration::store::{CompletionOutcome, Store};
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::timeout;
use uuid::Uuid;

use super::cluster;
use super::kit::{assert_sound, chain, claim, open_with, run_out, submit, succeed, success, task};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o12_a_transaction_that_waits_holds_up_no_other() {
    let url = cluster::database().await;
    let store = open_with(&url, PostgresOptions::default().writers(2)).await;
    assert_eq!(store.writers(), 2);
    let process = Uuid::new_v4();
    let held = submit(&store, chain()).await;
    submit(&store, chain()).await;
    let steps = claim(&store, process, 2).await;
    let (waits, other) = match &steps[..] {
        [one, other] if one.id.task_uuid == held => (one, other),
        [other, one] => (one, other),
        steps => panic!("{steps:?}"),
    };

    let mut elsewhere = PgConnection::connect(&url).await.unwrap();
    elsewhere.execute("BEGIN").await.unwrap();
    sqlx::query("SELECT 1 FROM postroom.tasks WHERE uuid = $1 FOR UPDATE")
        .bind(held)
        .execute(&mut elsewhere)
        .await
        .unwrap();
    let mut waiting = Box::pin(store.complete(vec![success(waits, process)]));
    let waited = timeout(Duration::ZERO, &mut waiting).await;
    assert!(waited.is_err(), "somebody else has its task: {waited:?}");
    // Once more and on the same writer, this would wait too.
    for _ in 0..2 {
        timeout(SOON, submit(&store, chain())).await.unwrap();
    }
    timeout(SOON, succeed(&store, other, process))
        .await
        .unwrap();

    elsewhere.execute("ROLLBACK").await.unwrap();
    let outcome = timeout(SOON, waiting).await.unwrap().unwrap().remove(0);
    assert!(
        matches!(outcome, CompletionOutcome::Recorded { .. }),
        "{outcome:?}"
    );
    run_out(&store, process).await;
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test]
async fn o12_one_connection_is_left_to_read_with() {
    let url = cluster::database().await;
    for (connections, writers, expected) in [(1, 3, 1), (2, 3, 1), (3, 3, 2), (5, 3, 3), (5, 1, 1)]
    {
        let options = PostgresOptions::default();
        let options = options.connections(connections).writers(writers);
        let store = open_with(&url, options).await;
        assert_eq!(store.writers(), expected, "{connections} connections");
        store.close().await;
    }
}

/// Each commit has a row that answers for it. They are taken away again, whatever writes them: submissions, completions,
/// and heartbeats between them, which write none.
#[tokio::test]
async fn o12_rows_of_earlier_commits_do_not_pile_up() {
    /// As many as the writer leaves, and the one of the commit that takes those away.
    const MOST: i64 = 257;
    let url = cluster::database().await;
    let store = open_with(&url, PostgresOptions::default().writers(1)).await;
    let process = Uuid::new_v4();
    for number in 0..2 * MOST {
        store.heartbeat(process, SOON).await.unwrap();
        submit(&store, task(&[&[]])).await;
        if number % 10 == 0 {
            let steps = claim(&store, process, 1).await;
            succeed(&store, &steps[0], process).await;
        }
    }
    let mut conn = PgConnection::connect(&url).await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM postroom.commits")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(rows <= MOST, "{rows} rows are left");
    store.close().await;
}
