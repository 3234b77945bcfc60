//! When a task is blocked.

use std::collections::BTreeSet;

use crate::orchestration::store::settle;
use crate::orchestration::store::sql::task_row::TaskRow;
use crate::orchestration::store::workers::{TaskPlace, Workers};

/// What a task has to run, and what decides who serves it.
#[derive(Debug, Default)]
pub(crate) struct Runnable {
    pub(crate) callables: BTreeSet<String>,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) version: String,
}

/// Why a task is blocked, if it is: it has something to run, runs nothing, and nobody can run it.
pub(crate) fn blocking(task: &TaskRow, runnable: &Runnable, workers: &Workers) -> Option<String> {
    let place = TaskPlace {
        uuid: task.uuid,
        namespace: &runnable.namespace,
        name: &runnable.name,
        version: &runnable.version,
    };
    let missing: Vec<&str> = runnable.callables.iter().map(String::as_str).collect();
    let nobody = !missing
        .iter()
        .any(|callable| workers.can_run(&place, callable));
    let is_blocked = task.counts.running == 0 && !missing.is_empty() && nobody;
    is_blocked.then(|| settle::blocked_reason(&missing))
}
