//! What is measured, a file for each.

pub(crate) mod across;
pub(crate) mod costs;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod shapes;
pub(crate) mod snapshot;
pub(crate) mod throughput;
