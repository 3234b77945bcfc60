//! What `run` says at the end.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use postroom::orchestration::state::{StepState, TaskState};
use postroom::orchestration::store::{StepRecord, TaskRecord, without_password};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::args::{DatabaseArgs, RunArgs};
use crate::clock;
use crate::exit::{Failure, Status};
use crate::output::{self, Paint};

/// How this command's work on a task came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The task has ended.
    Ended,
    /// Interrupted while this process ran it.
    Interrupted,
    /// Interrupted while another process ran it, which goes on.
    Unfollowed,
}

/// The last line of standard output with `--json`. The field names stay.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    task_uuid: Uuid,
    namespace: &'a str,
    name: &'a str,
    version: &'a str,
    state: TaskState,
    reason: Option<&'a str>,
    run: u32,
    steps_total: u32,
    steps_complete: u32,
    steps_failed: u32,
    elapsed_ms: u64,
    #[serde(serialize_with = "as_map")]
    results: Vec<(&'a str, &'a RawValue)>,
}

/// Lines of a result that are shown to people.
const SHOWN_LINES: usize = 20;

impl Ending {
    /// Prints how the task stands, and returns what the exit status says.
    pub(super) fn report(
        self,
        args: &RunArgs,
        task: &TaskRecord,
        steps: &[StepRecord],
        elapsed: Duration,
    ) -> Result<Status, Failure> {
        let results = results(steps);
        if args.json {
            let summary = Summary {
                task_uuid: task.task_uuid,
                namespace: &task.namespace,
                name: &task.name,
                version: &task.version,
                state: task.state,
                reason: task.reason.as_deref(),
                run: task.run,
                steps_total: task.steps_total,
                steps_complete: task.steps_complete,
                steps_failed: task.steps_failed,
                elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                results,
            };
            let line = serde_json::to_string(&summary).map_err(|error| Failure::trouble(&error))?;
            output::answer(&line)?;
        } else {
            output::answer(&for_people(task, &results, elapsed))?;
        }
        Ok(match task.state {
            TaskState::Complete => Status::Complete,
            state if state.is_terminal() => {
                complain(args, task, steps);
                Status::Ended
            }
            _ => {
                self.say_what_is_left(args, task);
                Status::Interrupted
            }
        })
    }

    fn say_what_is_left(self, args: &RunArgs, task: &TaskRecord) {
        let left = task.steps_total - task.steps_complete.min(task.steps_total);
        output::note(&match self {
            Self::Unfollowed => {
                format!("Not following any longer; the task goes on, {left} steps are left.")
            }
            Self::Interrupted | Self::Ended => format!(
                "Interrupted; {left} of {} steps are left. The same command resumes; see also `postroom task show \
                 {}{}`.",
                task.steps_total,
                task.task_uuid,
                database_flag(args)
            ),
        });
    }
}

fn for_people(task: &TaskRecord, results: &[(&str, &RawValue)], elapsed: Duration) -> String {
    let state = Paint::for_stdout().paint(output::task_colour(task.state), task.state.as_str());
    let mut text = format!(
        "{} {state}: {} of {} steps in {}",
        output::clean(&task.name),
        task.steps_complete,
        task.steps_total,
        clock::duration(elapsed)
    );
    for (name, result) in results {
        // Text is shown as text.
        let shown = serde_json::from_str::<String>(result.get())
            .unwrap_or_else(|_| result.get().to_owned());
        let shown = output::clip(&shown);
        let mut lines: Vec<&str> = shown.lines().collect();
        if lines.is_empty() || shown == "null" {
            continue;
        }
        if lines.len() > SHOWN_LINES {
            lines.truncate(SHOWN_LINES);
            lines.push("...");
        }
        let name = output::clean(name);
        // Writing to a string cannot fail.
        let _ = match lines[..] {
            [line] => write!(text, "\n{name}: {line}"),
            _ => write!(text, "\n{name}:\n  {}", lines.join("\n  ")),
        };
    }
    text
}

fn complain(args: &RunArgs, task: &TaskRecord, steps: &[StepRecord]) {
    output::error(&format!(
        "the task is {}: {}",
        task.state,
        output::clip(task.reason.as_deref().unwrap_or("no reason is known"))
    ));
    let failed = steps
        .iter()
        .filter(|step| step.state == StepState::Failed)
        .count();
    if failed > 1 {
        output::note(&format!("{failed} steps failed."));
    }
    let retry = match task.state {
        TaskState::Failed => " --retry continues it once the cause is gone.",
        _ => "",
    };
    output::note(&format!(
        "`postroom task show {}{}` shows more.{retry}",
        task.task_uuid,
        database_flag(args)
    ));
}

/// What else has to be said to look at the same database.
fn database_flag(args: &RunArgs) -> String {
    match args.database.url.as_str() {
        DatabaseArgs::DEFAULT => String::new(),
        url => format!(" --database {}", for_a_shell(&without_password(url))),
    }
}

/// A word as it has to be typed.
fn for_a_shell(word: &str) -> String {
    let is_plain = |char: char| char.is_alphanumeric() || "/.:_-+=,@%".contains(char);
    if word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The results of the steps on which no other depends: what the task was run for.
fn results(steps: &[StepRecord]) -> Vec<(&str, &RawValue)> {
    let parents: BTreeSet<u32> = steps
        .iter()
        .flat_map(|step| step.parents.iter().copied())
        .collect();
    let last = steps.iter().filter(|step| !parents.contains(&step.index));
    last.filter_map(|step| {
        Some((
            step.name.as_str(),
            serde_json::from_str(step.result_json.as_deref()?).ok()?,
        ))
    })
    .collect()
}

fn as_map<S: Serializer>(results: &[(&str, &RawValue)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(results.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_can_be_pasted_into_a_shell() {
        assert_eq!(for_a_shell("sqlite:///a/b-1.db"), "sqlite:///a/b-1.db");
        assert_eq!(for_a_shell("a b.db"), "'a b.db'");
        assert_eq!(for_a_shell("it's;x"), r"'it'\''s;x'");
    }
}
