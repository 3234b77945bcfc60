//! When a task is blocked.

use std::collections::BTreeSet;

use crate::orchestration::store::settle;
use crate::orchestration::store::sql::task_row::TaskRow;
use crate::orchestration::store::workers::Workers;

/// Why a task is blocked, if it is: it has something to run (`callables`), runs nothing, and nobody can run it.
pub(crate) fn blocking(
    task: &TaskRow,
    callables: &BTreeSet<String>,
    workers: &Workers,
) -> Option<String> {
    let missing: Vec<&str> = callables.iter().map(String::as_str).collect();
    let nobody = !missing
        .iter()
        .any(|callable| workers.can_run(task.uuid, callable));
    let is_blocked = task.counts.running == 0 && !missing.is_empty() && nobody;
    is_blocked.then(|| settle::blocked_reason(&missing))
}
