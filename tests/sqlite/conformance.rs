//! The SQLite store against the conformance suite.

use std::sync::Arc;

use postroom::orchestration::store::conformance::Fixture;
use postroom::orchestration::store::sqlite::{SqliteOptions, SqliteStore};

async fn fresh() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(path.to_str().unwrap(), SqliteOptions::default());
    Fixture::new(Arc::new(store.await.unwrap())).keeping(folder)
}

postroom::store_conformance!(fresh);
