//! The handlers that come with the crate: `shell`, `sleep` and `noop`. The command line offers these.
//!
//! Each refuses keys in `handler.initialization` that it does not know.

mod noop;
mod shell;
mod sleep;

use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

pub use noop::Noop;
pub use shell::{ProcessGroups, Shell};
pub use sleep::Sleep;

use super::StepHandlers;
use super::decode::decode_value;

/// Adds `shell`, `sleep` and `noop`. `process` is the id by which child processes are marked
/// ([`ProcessIdentity::process`](super::ProcessIdentity)); the process groups returned are those of the shell
/// steps that run.
///
/// A worker that serves other people's tasks should not offer `shell`: register [`Sleep`] and [`Noop`] alone.
pub fn register<S: Send + Sync + 'static>(
    handlers: StepHandlers<S>,
    process: Uuid,
) -> (StepHandlers<S>, ProcessGroups) {
    let groups = ProcessGroups::new();
    let handlers = handlers
        .register_type("shell", Shell::new(process, groups.clone()))
        .register_type("sleep", Sleep)
        .register_type("noop", Noop);
    (handlers, groups)
}

/// What a built-in handler does with its configuration before a task is stored.
fn check<C: DeserializeOwned + 'static>(config: &Value) -> Result<C, String> {
    decode_value(config).map_err(|error| error.to_string())
}
