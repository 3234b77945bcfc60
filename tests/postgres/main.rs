//! The store on `PostgreSQL`.
#![cfg(all(feature = "postgres", feature = "testing", unix))]

mod cluster;
mod programs;

mod conformance {
    use std::sync::Arc;

    use postroom::orchestration::store::conformance::Fixture;
    use postroom::orchestration::store::postgres::{PostgresOptions, PostgresStore};

    use super::cluster;

    async fn fresh() -> Fixture {
        let url = cluster::database().await;
        let store = PostgresStore::open(&url, PostgresOptions::default()).await;
        Fixture::new(Arc::new(store.unwrap()))
    }

    postroom::store_conformance!(fresh);
}
