//! When a task is blocked.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::orchestration::store::settle;
use crate::orchestration::store::workers::Workers;

/// Why a task that runs nothing is blocked, if it is: it has something to run, by these handlers, and nobody
/// can run it.
pub(crate) fn blocking(
    task: Uuid,
    callables: &BTreeSet<String>,
    workers: &Workers,
) -> Option<String> {
    let missing: Vec<&str> = callables.iter().map(String::as_str).collect();
    let nobody = !missing
        .iter()
        .any(|callable| workers.can_run(task, callable));
    (!missing.is_empty() && nobody).then(|| settle::blocked_reason(&missing))
}
