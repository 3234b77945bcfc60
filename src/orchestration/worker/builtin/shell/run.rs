//! One shell command from start to end.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::Shell;
use super::capture::Capture;
use super::config::{Config, Output};
use super::groups::Group;
use crate::orchestration::worker::process::MARKER;
use crate::orchestration::worker::{StepContext, StepError};

/// How long output is still read after the whole group has ended: only a process that left the group can
/// hold it open.
const LEFT_GROUP: Duration = Duration::from_millis(200);

/// Lines of standard error, or of an output that is too large, that an error message shows.
const SHOWN_LINES: usize = 10;

/// What the command gets on standard input.
#[derive(Serialize)]
struct Given<'a> {
    input: &'a RawValue,
    parents: BTreeMap<&'a str, &'a RawValue>,
    task_uuid: Uuid,
    step: &'a str,
    attempt: u32,
    epoch: u64,
    correlation_id: Uuid,
}

pub(super) async fn run<S>(
    config: &Config,
    step: &StepContext<S>,
    shell: &Shell,
) -> Result<Box<RawValue>, StepError> {
    let given = given(step)?;
    let mut command = command(config, step, shell.process);
    let mut group = shell
        .groups
        .spawn(&mut command)
        .map_err(|error| not_started(config, &error))?;
    let mut output = Capture::new(step.max_result());
    let mut errors = Capture::new(0);
    let (status, told) = converse(&mut group, &given, &mut output, &mut errors, step).await?;
    if told {
        let message = with_lines(
            format!("the command was told to end ({})", describe(status)),
            &errors,
        );
        return Err(StepError::retryable(message).with_kind("interrupted"));
    }
    if !status.success() {
        let kind = if status.code().is_some() {
            "exit_status"
        } else {
            "signal"
        };
        return Err(StepError::retryable(with_lines(describe(status), &errors)).with_kind(kind));
    }
    result(config.output, &output)
}

/// Feeds and reads the command until it has ended. Also tells whether it was told to end.
async fn converse<S>(
    group: &mut Group,
    given: &[u8],
    output: &mut Capture,
    errors: &mut Capture,
    step: &StepContext<S>,
) -> Result<(ExitStatus, bool), StepError> {
    let streams = (
        group.child.stdin.take(),
        group.child.stdout.take(),
        group.child.stderr.take(),
    );
    let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
        return Err(StepError::retryable("the command's pipes are missing").with_kind("spawn"));
    };
    let mut streaming = Box::pin(async {
        let ((), output, errors) = tokio::join!(
            feed(stdin, given),
            output.read_from(stdout),
            errors.read_from(stderr)
        );
        output.and(errors)
    });
    let mut streamed = None;
    let mut told = false;
    let mut patience = pin!(sleep(Duration::ZERO));
    let mut patient = false;
    let status = loop {
        tokio::select! {
            biased;
            status = group.wait() => {
                if group.is_given_up() && !told {
                    // It was not the command's doing. What it seems to have done is not to be recorded before this
                    // process has ended.
                    step.cancellation().cancelled().await;
                    told = true;
                }
                break status;
            }
            done = &mut streaming, if streamed.is_none() => streamed = Some(done),
            () = step.cancellation().cancelled(), if !told => {
                told = true;
                group.terminate();
                patience.as_mut().reset(Instant::now() + Shell::TERM_GRACE);
                patient = true;
            }
            () = &mut patience, if patient => {
                group.kill();
                patient = false;
            }
        }
    };
    let status = status
        .map_err(|error| StepError::retryable(format!("waiting for the command: {error}")))?;
    let streamed = match streamed {
        Some(done) => done,
        // Nobody of the group is left to write; a process that left it may hold the pipes for ever.
        None => timeout(LEFT_GROUP, streaming).await.unwrap_or(Ok(())),
    };
    streamed
        .map_err(|error| StepError::retryable(format!("reading the command's output: {error}")))?;
    Ok((status, told))
}

/// A command need not read what it is given: that it closes its standard input, or ends, is no error.
async fn feed(mut stdin: ChildStdin, given: &[u8]) {
    let _ = stdin.write_all(given).await;
    let _ = stdin.shutdown().await;
}

fn given<S>(step: &StepContext<S>) -> Result<Vec<u8>, StepError> {
    let raw = |json| -> Result<&RawValue, StepError> { Ok(serde_json::from_str(json)?) };
    let mut parents = BTreeMap::new();
    for (name, result) in step.parents() {
        parents.insert(name, raw(result)?);
    }
    let given = Given {
        input: raw(step.input_json())?,
        parents,
        task_uuid: step.task_uuid(),
        step: step.step_name(),
        attempt: step.attempt(),
        epoch: step.epoch(),
        correlation_id: step.correlation_id(),
    };
    let mut json = serde_json::to_vec(&given)?;
    json.push(b'\n');
    Ok(json)
}

fn command<S>(config: &Config, step: &StepContext<S>, process: Uuid) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(&config.command)
        .envs(&config.env)
        .env(MARKER, process.to_string())
        .env("POSTROOM_TASK", step.task_uuid().to_string())
        .env("POSTROOM_STEP", step.step_name())
        .env("POSTROOM_ATTEMPT", step.attempt().to_string())
        .env("POSTROOM_EPOCH", step.epoch().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(directory) = &config.directory {
        command.current_dir(directory);
    }
    command
}

fn not_started(config: &Config, error: &io::Error) -> StepError {
    let place = match &config.directory {
        Some(directory) => format!(" in directory {}", directory.display()),
        None => String::new(),
    };
    StepError::retryable(format!("cannot start `sh`{place}: {error}")).with_kind("spawn")
}

fn result(output: Output, captured: &Capture) -> Result<Box<RawValue>, StepError> {
    if captured.overflowed() {
        let message = format!(
            "the command printed {} bytes, more than a result may have; let it write to a file. The end of it:\n{}",
            captured.total(),
            captured.last_lines(SHOWN_LINES)
        );
        return Err(StepError::permanent(message).with_kind("output_too_large"));
    }
    match output {
        Output::Text => {
            let text = String::from_utf8_lossy(captured.bytes());
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Ok(serde_json::value::to_raw_value(text)?)
        }
        Output::Json => json(captured.bytes()).map_err(|error| {
            let seen = if captured.total() == 0 {
                " (nothing was printed)"
            } else {
                ""
            };
            StepError::permanent(format!(
                "standard output is not one JSON value: {error}{seen}"
            ))
            .with_kind("output")
        }),
    }
}

/// The value as it was printed, so that no number loses digits, but only if everybody can read it.
fn json(bytes: &[u8]) -> Result<Box<RawValue>, serde_json::Error> {
    let _readable: serde_json::Value = serde_json::from_slice(bytes)?;
    serde_json::from_slice(bytes)
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn with_lines(what: String, errors: &Capture) -> String {
    match errors.last_lines(SHOWN_LINES) {
        lines if lines.is_empty() => what,
        lines => format!("{what}: {lines}"),
    }
}
