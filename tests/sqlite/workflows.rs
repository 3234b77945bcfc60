//! Workflows of many shapes on a file.

use std::sync::Arc;

use postroom::orchestration::store::Store;
use postroom::orchestration::store::sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

use crate::shapes;

async fn store(folder: &TempDir) -> Arc<dyn Store> {
    let file = folder.path().join("shapes.db");
    let store = SqliteStore::open(file.to_str().unwrap(), SqliteOptions::default()).await;
    Arc::new(store.unwrap())
}

#[tokio::test]
async fn generated_shapes_run_each_step_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    shapes::generated(store(&folder).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_templates_of_a_folder_run_each_step_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    shapes::of_the_folder(store(&folder).await).await;
}
