//! One task in full, for people and as JSON.

use std::fmt::Write;

use postroom::orchestration::state::{StepState, TaskState};
use postroom::orchestration::store::{StepRecord, TaskRecord};
use serde::Serialize;
use serde_json::value::RawValue;

use super::outlook::{self, Outlook};
use crate::clock;
use crate::output::{self, Colour, Paint};
use crate::table::Table;

/// A task and its steps. The field names are the JSON output's and stay.
#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    #[serde(flatten)]
    task: &'a TaskRecord,
    input: Option<&'a RawValue>,
    steps: Vec<ShownStep<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownStep<'a> {
    index: u32,
    name: &'a str,
    callable: &'a str,
    state: StepState,
    attempts: u32,
    max_attempts: u32,
    lost_leases: u32,
    epoch: u64,
    depends_on: Vec<&'a str>,
    /// Parents that are not done, if that is all that keeps it.
    waits_for: Vec<&'a str>,
    /// The step whose failure keeps it from being reached.
    not_reached_because: Option<&'a str>,
    #[serde(skip)]
    cause: Option<StepState>,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    due_at: Option<i64>,
    result: Option<&'a RawValue>,
    error: Option<&'a str>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(task: &'a TaskRecord, steps: &'a [StepRecord], input_json: &'a str) -> Self {
        let cause = |outlook: &Outlook| match outlook {
            Outlook::NotReached(cause) => Some(*cause),
            Outlook::Open | Outlook::WaitsFor(_) => None,
        };
        let names = |indices: &[u32]| {
            indices
                .iter()
                .filter_map(|&index| name_of(steps, index))
                .collect()
        };
        let shown = steps
            .iter()
            .zip(outlook::of(steps))
            .map(|(step, outlook)| ShownStep {
                index: step.index,
                name: &step.name,
                callable: &step.callable,
                state: step.state,
                attempts: step.attempts,
                max_attempts: step.max_attempts,
                lost_leases: step.lost_leases,
                epoch: step.epoch,
                depends_on: names(&step.parents),
                waits_for: match &outlook {
                    Outlook::WaitsFor(parents) => names(parents),
                    Outlook::Open | Outlook::NotReached(_) => Vec::new(),
                },
                not_reached_because: cause(&outlook).and_then(|cause| name_of(steps, cause)),
                cause: cause(&outlook).and_then(|cause| Some(steps.get(cause as usize)?.state)),
                started_at: step.started_at,
                ended_at: step.ended_at,
                due_at: step.due_at,
                result: step.result_json.as_deref().and_then(raw),
                error: step.error.as_deref(),
            });
        Self {
            task,
            input: raw(input_json),
            steps: shown.collect(),
        }
    }

    pub(super) fn for_people(&self, paint: Paint) -> String {
        let mut text = self.head(paint);
        text.push_str("\n\n");
        text.push_str(&self.table(paint));
        for step in &self.steps {
            if let Some(error) = step.error.filter(|error| !fits(error)) {
                let error = output::clip(error).replace('\n', "\n    ");
                let _ = write!(
                    text,
                    "\n\n{}: last error\n    {error}",
                    output::clean(step.name)
                );
            }
        }
        text
    }

    fn head(&self, paint: Paint) -> String {
        let task = self.task;
        let mut lines = vec![
            ("Task", task.task_uuid.to_string()),
            ("Template", output::clean(&super::template_name(task))),
        ];
        let state = paint.paint(output::task_colour(task.state), task.state.as_str());
        lines.push(match &task.reason {
            Some(reason) => (
                "State",
                format!("{state}: {}", output::shorten(reason, 200)),
            ),
            None => ("State", state),
        });
        if task.run > 1 {
            lines.push(("Run", task.run.to_string()));
        }
        let not_reached = self
            .steps
            .iter()
            .filter(|step| step.not_reached_because.is_some())
            .count();
        let mut counts = format!("{} of {} complete", task.steps_complete, task.steps_total);
        if task.steps_failed > 0 {
            let _ = write!(counts, ", {} failed", task.steps_failed);
        }
        if not_reached > 0 {
            let _ = write!(counts, ", {not_reached} not reached");
        }
        lines.push(("Steps", counts));
        if let Some(input) = self.input.filter(|input| input.get() != "null") {
            lines.push(("Input", output::shorten(input.get(), 100)));
        }
        lines.push(("Submitted", clock::date(task.created_at)));
        if let Some(ended) = task.ended_at {
            let took = clock::duration(clock::between(task.created_at, ended));
            lines.push(("Ended", format!("{} (after {took})", clock::date(ended))));
        }
        let lines = lines
            .iter()
            .map(|(title, value)| format!("{title:<10} {value}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn table(&self, paint: Paint) -> String {
        let mut table = Table::new(["STEP", "STATE", "ATTEMPTS", "TIME", "RESULT"]);
        for step in &self.steps {
            let time = match (step.started_at, step.ended_at) {
                (Some(started), Some(ended)) if ended >= started => {
                    clock::duration(clock::between(started, ended))
                }
                (Some(started), _) if step.state == StepState::Running => {
                    format!(
                        "{} so far",
                        clock::duration(clock::between(started, clock::now()))
                    )
                }
                _ => "-".to_owned(),
            };
            let colour = match step.not_reached_because {
                Some(_) => Colour::Yellow,
                None => output::step_colour(step.state),
            };
            table.row([
                (output::clean(step.name), None),
                (step.state.to_string(), Some(colour)),
                (format!("{}/{}", step.attempts, step.max_attempts), None),
                (time, None),
                (self.remark(step), None),
            ]);
        }
        table.render(paint)
    }

    /// The most telling thing about a step, in one line.
    fn remark(&self, step: &ShownStep<'_>) -> String {
        if let Some(cause) = step.not_reached_because {
            let state = step.cause.unwrap_or(StepState::Failed);
            return format!("not reached: {} {state}", output::clean(cause));
        }
        if !step.waits_for.is_empty() {
            let ended = self.task.state == TaskState::Cancelled;
            let waits = if ended { "never reached" } else { "waits for" };
            return output::shorten(&format!("{waits} {}", step.waits_for.join(", ")), 80);
        }
        match (step.state, step.result, step.error) {
            (StepState::Complete | StepState::ResolvedManually, Some(result), _) => {
                output::shorten(result.get(), 60)
            }
            (StepState::RetryWait, _, error) => {
                let due = step.due_at.map_or(String::new(), |due| {
                    format!(" in {}", clock::duration(clock::between(clock::now(), due)))
                });
                output::shorten(
                    &format!("tried again{due}: {}", error.unwrap_or_default()),
                    80,
                )
            }
            (_, _, Some(error)) => output::shorten(error, REMARK),
            (StepState::Ready, ..) => "ready to run".to_owned(),
            _ => String::new(),
        }
    }
}

/// Width of an error in the table; a longer one is printed in full below it.
const REMARK: usize = 80;

fn fits(error: &str) -> bool {
    output::shorten(error, REMARK) == error
}

fn name_of(steps: &[StepRecord], index: u32) -> Option<&str> {
    steps.get(index as usize).map(|step| step.name.as_str())
}

/// Stored JSON as it is; `None` if it cannot be read.
fn raw(json: &str) -> Option<&RawValue> {
    serde_json::from_str(json).ok()
}
