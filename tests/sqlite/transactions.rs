//! Submitting and completing inside the caller's own transaction.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use postroom::orchestration::store::sqlite::SqliteStore;
use postroom::orchestration::store::{
    CallerTransaction, ProcessRegistration, Store, StoreError, TransactionError,
};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Sqlite, SqlitePool, Transaction};
use tempfile::TempDir;
use uuid::Uuid;

use super::kit::{chain, open, place, submit};
use crate::joining::{self, Shop};

#[derive(Clone)]
struct FileShop {
    store: Arc<SqliteStore>,
    pool: SqlitePool,
}

async fn shop() -> (FileShop, TempDir) {
    let (folder, path) = place();
    let store = Arc::new(open(&path).await);
    let connect = SqliteConnectOptions::new()
        .filename(&path)
        .busy_timeout(Duration::from_secs(20));
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect_with(connect).await.unwrap();
    sqlx::query("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        .execute(&pool)
        .await
        .unwrap();
    (FileShop { store, pool }, folder)
}

impl Shop for FileShop {
    type Transaction = Transaction<'static, Sqlite>;

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as _
    }

    async fn elsewhere() -> (Self, Box<dyn Any>) {
        let (shop, folder) = shop().await;
        (shop, Box::new(folder))
    }

    async fn begin(&self) -> Self::Transaction {
        self.pool.begin_with("BEGIN IMMEDIATE").await.unwrap()
    }

    async fn order(tx: &mut Self::Transaction, id: i64) {
        let insert = sqlx::query("INSERT INTO orders (id) VALUES (?1)").bind(id);
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

/// A transaction that has read, and lags behind what others have written since, can only be rolled back.
#[tokio::test]
async fn o11_a_transaction_that_lags_behind_is_said_to_be_broken() {
    let (shop, _folder) = shop().await;
    let process = Uuid::new_v4();
    let mut tx = shop.pool.begin().await.unwrap();
    sqlx::query("SELECT * FROM orders")
        .execute(&mut *tx)
        .await
        .unwrap();
    submit(&shop.store, chain(1)).await;
    let error = tx.submit(process, vec![chain(1)]).await.unwrap_err();
    assert!(
        matches!(error, TransactionError::Broken(StoreError::Busy { .. })),
        "{error}"
    );
    assert!(!error.can_go_on());
    tx.rollback().await.unwrap();
    shop.store.close().await;
}

/// Somebody else holds the lock: said after the connection's own patience, and then it can be tried again.
#[tokio::test]
async fn o11_a_lock_held_elsewhere_leaves_the_transaction_usable() {
    let (shop, folder) = shop().await;
    let process = register(&shop.store).await;
    let other = SqliteConnectOptions::new()
        .filename(folder.path().join("postroom.db"))
        .busy_timeout(Duration::ZERO);
    let other = SqlitePool::connect_with(other).await.unwrap();
    let holder = shop.begin().await;
    let mut tx = other.begin().await.unwrap();
    let task = chain(1);
    let uuid = task.task_uuid;
    let error = tx.submit(process, vec![task.clone()]).await.unwrap_err();
    assert!(
        matches!(error, TransactionError::Undone(StoreError::Busy { .. })),
        "{error}"
    );
    assert!(error.can_go_on());
    FileShop::rollback(holder).await;
    let answers = tx.submit(process, vec![task]).await.unwrap();
    assert!(answers[0].is_ok());
    tx.commit().await.unwrap();
    assert!(shop.store.task(uuid).await.unwrap().is_some());
    shop.store.close().await;
}

async fn register(store: &SqliteStore) -> Uuid {
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
