//! Submitting and completing inside the caller's own transaction.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use postroom::orchestration::store::postgres::{PostgresOptions, PostgresStore};
use postroom::orchestration::store::{
    CallerTransaction, ClaimedStep, ProcessRegistration, Store, TransactionError,
};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Postgres, Transaction};
use tokio::time::timeout;
use uuid::Uuid;

use super::cluster;
use super::joining::{self, Shop};
use super::kit::{chain, claim, open, open_with, submit, succeed, success};

#[derive(Clone)]
struct ServerShop {
    store: Arc<PostgresStore>,
    pool: PgPool,
}

async fn shop() -> (ServerShop, cluster::Database) {
    let url = cluster::database().await;
    let store = open_with(&url, PostgresOptions::default().connections(1)).await;
    let pool = PgPoolOptions::new().max_connections(1);
    let pool = pool.connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE orders (id bigint PRIMARY KEY)")
        .execute(&pool)
        .await
        .unwrap();
    let store = Arc::new(store);
    (ServerShop { store, pool }, url)
}

impl Shop for ServerShop {
    type Transaction = Transaction<'static, Postgres>;

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as _
    }

    async fn elsewhere() -> (Self, Box<dyn Any>) {
        let (shop, url) = shop().await;
        (shop, Box::new(url))
    }

    async fn begin(&self) -> Self::Transaction {
        self.pool.begin().await.unwrap()
    }

    async fn order(tx: &mut Self::Transaction, id: i64) {
        let insert = sqlx::query("INSERT INTO orders (id) VALUES ($1)").bind(id);
        insert.execute(&mut **tx).await.unwrap();
    }

    async fn commit(tx: Self::Transaction) {
        tx.commit().await.unwrap();
    }

    async fn rollback(tx: Self::Transaction) {
        tx.rollback().await.unwrap();
    }

    async fn orders(&self) -> Vec<i64> {
        let orders = sqlx::query_scalar("SELECT id FROM orders ORDER BY id");
        orders.fetch_all(&self.pool).await.unwrap()
    }
}

joining::joining_tests!(shop);

async fn register(store: &PostgresStore) -> Uuid {
    let process = Uuid::new_v4();
    let registration = ProcessRegistration {
        process,
        host: "here".into(),
        pid: 1,
        pid_birth: "1".into(),
        callables: Vec::new(),
        serves: Vec::new(),
        only_task: None,
    };
    store.register_process(registration).await.unwrap();
    process
}

/// Others claim and complete meanwhile, and find nothing of it before the commit; the commit tells them.
#[tokio::test]
async fn o11_others_go_on_meanwhile_and_are_told_with_the_commit() {
    let (shop, url) = shop().await;
    let other = open(&url).await;
    let process = register(&other).await;
    // Until it listens nobody is told.
    let listening = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
    loop {
        let listeners: i64 = sqlx::query_scalar(listening)
            .fetch_one(&shop.pool)
            .await
            .unwrap();
        if listeners == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seen = submit(&other, chain()).await;
    let mut tx = shop.begin().await;
    let hidden = chain();
    let uuid = hidden.task_uuid;
    assert!(tx.submit(process, vec![hidden]).await.unwrap()[0].is_ok());
    let steps: Vec<ClaimedStep> = claim(&other, process, 10).await;
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].id.task_uuid, seen);
    succeed(&other, &steps[0], process).await;
    assert_eq!(other.task(uuid).await.unwrap(), None);
    // What was said so far.
    let mut hints = other.hints().unwrap();
    while timeout(Duration::from_millis(50), hints.next())
        .await
        .is_ok()
    {}
    tx.commit().await.unwrap();
    timeout(Duration::from_secs(30), hints.next())
        .await
        .expect("told of the commit");
    let steps = claim(&other, process, 10).await;
    assert!(steps.iter().any(|step| step.id.task_uuid == uuid));
    for store in [&other, &*shop.store] {
        store.close().await;
    }
}

/// Heartbeats do not wait for the row of a step that is being completed in a transaction that lasts.
#[tokio::test]
async fn o11_heartbeats_do_not_wait_for_a_step_that_is_being_completed() {
    let (shop, _url) = shop().await;
    let process = register(&shop.store).await;
    submit(&shop.store, chain()).await;
    let steps = claim(&shop.store, process, 1).await;
    let mut tx = shop.begin().await;
    tx.complete(vec![success(&steps[0], process)])
        .await
        .unwrap();
    let beat = shop.store.heartbeat(process, Duration::from_mins(1)).await;
    assert_eq!(beat.unwrap().held, [steps[0].lease()]);
    tx.rollback().await.unwrap();
    succeed(&shop.store, &steps[0], process).await;
    shop.store.close().await;
}

/// The connection is gone: nothing can be done in that transaction any more.
#[tokio::test]
async fn o11_a_lost_connection_is_said_to_be_broken() {
    let (shop, url) = shop().await;
    let process = register(&shop.store).await;
    let mut tx = shop.begin().await;
    let own: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    let cut = "SELECT pg_terminate_backend($1, 10000)";
    let ended: bool = sqlx::query_scalar(cut)
        .bind(own)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(ended);
    let task = chain();
    let uuid = task.task_uuid;
    let error = tx.submit(process, vec![task]).await.unwrap_err();
    assert!(matches!(error, TransactionError::Broken(_)), "{error}");
    drop(tx);
    assert_eq!(shop.store.task(uuid).await.unwrap(), None);
    shop.store.close().await;
}
