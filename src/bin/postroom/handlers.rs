//! The step handlers that the command line offers: those built in.

use postroom::orchestration::worker::builtin::{self, ProcessGroups};
use postroom::orchestration::worker::{HandlerTable, StepHandlers};
use uuid::Uuid;

use crate::exit::Failure;

/// The handlers of a process that runs steps, and the process groups of its shell steps.
pub(crate) fn for_process(process: Uuid) -> Result<(HandlerTable, ProcessGroups), Failure> {
    let (handlers, groups) = builtin::register(StepHandlers::new(), process);
    let table = handlers.build().map_err(|error| Failure::trouble(&error))?;
    Ok((table, groups))
}

/// The handlers, to check templates against.
pub(crate) fn table() -> Result<HandlerTable, Failure> {
    for_process(Uuid::nil()).map(|(table, _)| table)
}
