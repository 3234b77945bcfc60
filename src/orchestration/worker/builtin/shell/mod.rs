//! Steps that are shell commands.

mod capture;
mod config;
mod groups;
mod run;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

pub use groups::ProcessGroups;

use self::config::Config;
use crate::orchestration::worker::{StepContext, StepError, StepHandler};

/// Runs the configured `command` with `sh -c`, in a process group of its own.
///
/// Configuration: `command`; `output: text` (default: standard output is the result, a string without its
/// last line break) or `json` (it must be one JSON value); `env` (added to this process's environment);
/// `directory`.
///
/// The command gets one JSON object on standard input: `input` (the task's), `parents` (results by step name),
/// `task_uuid`, `step`, `attempt`, `epoch`, `correlation_id`. Nothing of it is ever put into the command's
/// text. `POSTROOM_TASK`, `POSTROOM_STEP`, `POSTROOM_ATTEMPT` and `POSTROOM_EPOCH` are set in its environment,
/// and `POSTROOM_PROCESS`, by which it is found when this process dies.
///
/// The step fails if the exit status is not zero; the error shows the last lines of standard error. A result
/// larger than the limit (1 MiB) fails the step for good. When the shell ends, whatever it left running in its
/// group is ended too; what left the group (`setsid`) is not waited for longer than a moment. When the step's
/// time is up or it is cancelled, the group gets `SIGTERM`, five seconds, and `SIGKILL`.
#[derive(Debug)]
pub struct Shell {
    process: Uuid,
    groups: ProcessGroups,
}

impl Shell {
    /// From `SIGTERM` to `SIGKILL`.
    const TERM_GRACE: Duration = Duration::from_secs(5);

    /// A handler that marks its children with `process` and keeps their groups in `groups`.
    pub fn new(process: Uuid, groups: ProcessGroups) -> Self {
        Self { process, groups }
    }
}

impl<S: Send + Sync + 'static> StepHandler<S> for Shell {
    type Input = ();
    type Output = Box<RawValue>;

    async fn run(&self, (): (), step: StepContext<S>) -> Result<Box<RawValue>, StepError> {
        let config: Config = step.config()?;
        run::run(&config, &step, self).await
    }

    fn check_config(&self, config: &Value) -> Result<(), String> {
        super::check::<Config>(config)?.check()
    }

    fn grace(&self) -> Duration {
        // It ends its command itself within this time; when dropped, at once.
        Self::TERM_GRACE + Duration::from_millis(2_500)
    }
}
