//! A `PostgreSQL` server for tests and benchmarks.

pub(crate) mod cluster;
pub(crate) mod programs;
