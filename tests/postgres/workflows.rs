//! Workflows of many shapes on a server.

use std::sync::Arc;

use super::kit::open;
use super::{cluster, shapes};

#[tokio::test]
async fn generated_shapes_run_each_step_once_and_in_order() {
    let url = cluster::database().await;
    shapes::generated(Arc::new(open(&url).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_templates_of_a_folder_run_each_step_once_and_in_order() {
    let url = cluster::database().await;
    shapes::of_the_folder(Arc::new(open(&url).await)).await;
}
