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

/// The handlers of a process that runs other people's tasks. Whoever may submit could run any command in it, so
/// `shell` is offered only if that was asked for.
pub(crate) fn for_worker(
    process: Uuid,
    allow_shell: bool,
) -> Result<(HandlerTable, ProcessGroups), Failure> {
    if allow_shell {
        return for_process(process);
    }
    let handlers = StepHandlers::new()
        .register_type("sleep", builtin::Sleep)
        .register_type("noop", builtin::Noop);
    let table = handlers.build().map_err(|error| Failure::trouble(&error))?;
    Ok((table, ProcessGroups::new()))
}

/// The handlers, to check templates against.
pub(crate) fn table() -> Result<HandlerTable, Failure> {
    for_process(Uuid::nil()).map(|(table, _)| table)
}
