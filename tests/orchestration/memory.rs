//! The in-memory store against the conformance suite.

use std::sync::Arc;

use postroom::orchestration::store::conformance::Fixture;
use postroom::orchestration::store::memory::MemoryStore;

async fn fresh() -> Fixture {
    Fixture::new(Arc::new(MemoryStore::new()))
}

postroom::store_conformance!(fresh);
