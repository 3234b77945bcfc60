//! The store on `PostgreSQL`.
#![cfg(all(feature = "postgres", feature = "testing", unix))]

#[cfg(feature = "cli")]
mod cli;
mod cluster;
mod kit;
mod losses;
mod opening;
mod pooler;
mod programs;
mod sharing;

mod conformance {
    use std::sync::Arc;

    use postroom::orchestration::store::conformance::Fixture;
    use postroom::orchestration::store::postgres::{PostgresOptions, PostgresStore};

    use super::cluster;

    async fn fresh() -> Fixture {
        let url = cluster::database().await;
        let store = PostgresStore::open(&url, PostgresOptions::default()).await;
        Fixture::new(Arc::new(store.unwrap())).keeping(url)
    }

    postroom::store_conformance!(fresh);
}
