//! When a task is blocked.

use std::collections::BTreeSet;

use crate::orchestration::store::settle;
use crate::orchestration::store::workers::{TaskPlace, Workers};

/// Why a task that runs nothing is blocked, if it is: it has something to run, by these handlers, and nobody
/// can run it.
pub(crate) fn blocking(
    task: &TaskPlace<'_>,
    callables: &BTreeSet<String>,
    workers: &Workers,
) -> Option<String> {
    let missing: Vec<&str> = callables.iter().map(String::as_str).collect();
    let nobody = !missing
        .iter()
        .any(|callable| workers.can_run(task, callable));
    (!missing.is_empty() && nobody).then(|| settle::blocked_reason(&missing))
}
