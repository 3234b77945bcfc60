//! The store on `PostgreSQL`.
#![cfg(all(feature = "postgres", feature = "testing", unix))]

#[cfg(feature = "cli")]
mod cli;
mod costs;
mod fresh;
#[path = "../joining/mod.rs"]
mod joining;
mod kit;
mod losses;
mod opening;
#[path = "../outage/mod.rs"]
mod outage;
mod pooler;
mod quiet;
#[path = "../server/mod.rs"]
mod server;
#[path = "../shapes/mod.rs"]
mod shapes;
mod sharing;
#[cfg(feature = "tls")]
mod tls;
#[path = "../together/mod.rs"]
mod together;
mod transactions;
mod workflows;
mod writers;

use server::{cluster, programs};

/// A store of one writer whose last claim has found nothing: as long as that holds, its transactions take other ways.
mod quiet_conformance {
    use std::sync::Arc;

    use postroom::orchestration::store::conformance::Fixture;

    use super::kit;

    async fn fresh() -> Fixture {
        let (url, store, _) = kit::quiet().await;
        Fixture::new(Arc::new(store)).keeping(url)
    }

    postroom::store_conformance!(fresh);
}

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
