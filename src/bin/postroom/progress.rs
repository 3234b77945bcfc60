//! Showing how a task gets on, on standard error: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use postroom::orchestration::OrchestrationEvent;
use postroom::orchestration::state::StepState;
use postroom::orchestration::store::StepRecord;

use crate::clock;
use crate::output::{self, Colour, Paint};

/// How often the bar is drawn when nothing happens.
const TICK: Duration = Duration::from_millis(250);

/// Steps that the bar names; of further ones it says how many.
const NAMED: usize = 4;

/// What is known about a task's steps, and where it is shown.
pub(crate) struct Progress {
    steps: Vec<Step>,
    /// `None`: plain lines.
    bar: Option<ProgressBar>,
    paint: Paint,
}

struct Step {
    name: String,
    state: StepState,
    max_attempts: u32,
    due: Option<Instant>,
}

impl Progress {
    /// Starts to show a task whose steps stand like this.
    pub(crate) fn new(steps: &[StepRecord]) -> Self {
        let steps: Vec<Step> = steps
            .iter()
            .map(|step| Step {
                name: output::clean(&step.name),
                state: step.state,
                max_attempts: step.max_attempts,
                due: None,
            })
            .collect();
        let paint = Paint::for_stderr();
        let bar = std::io::stderr()
            .is_terminal()
            .then(|| bar(steps.len(), paint));
        let progress = Self { steps, bar, paint };
        progress.draw();
        progress
    }

    /// Takes in what this process did.
    pub(crate) fn event(&mut self, event: &OrchestrationEvent) {
        match event {
            OrchestrationEvent::StepStarted { index, attempt, .. } => {
                self.set(*index, StepState::Running);
                if self.bar.is_none() {
                    let again = if *attempt > 1 {
                        format!(" (attempt {attempt})")
                    } else {
                        String::new()
                    };
                    self.line(*index, "started", None, &again);
                }
            }
            OrchestrationEvent::StepFinished {
                index,
                state,
                elapsed,
                error,
                ..
            } => {
                self.set(*index, *state);
                let took = format!(" ({})", clock::duration(*elapsed));
                match error {
                    Some(error) => self.line(
                        *index,
                        "failed",
                        Some(Colour::Red),
                        &format!("{took}: {}", brief(error)),
                    ),
                    None if self.bar.is_none() => {
                        self.line(*index, "complete", Some(Colour::Green), &took);
                    }
                    None => {}
                }
            }
            OrchestrationEvent::StepRetrying {
                index,
                attempt,
                delay,
                error,
                ..
            } => {
                self.set(*index, StepState::RetryWait);
                let max_attempts = match self.steps.get_mut(*index as usize) {
                    Some(step) => {
                        step.due = Instant::now().checked_add(*delay);
                        step.max_attempts
                    }
                    None => 0,
                };
                let error = brief(error);
                let rest = format!(
                    " (attempt {attempt} of {max_attempts}), again in {}: {error}",
                    clock::duration(*delay)
                );
                self.line(*index, "retrying", Some(Colour::Yellow), &rest);
            }
            _ => {}
        }
        self.draw();
    }

    /// Takes in how the steps stand in the database: what other processes did.
    pub(crate) fn refresh(&mut self, records: &[StepRecord]) {
        for record in records {
            let Some(step) = self.steps.get(record.index as usize) else {
                continue;
            };
            // What was read may be older than what was announced.
            if step.state == record.state || step.state.is_terminal() {
                continue;
            }
            self.set(record.index, record.state);
            if self.bar.is_some() && record.state != StepState::Failed {
                continue;
            }
            match (record.state, &record.error) {
                (StepState::Complete, _) => {
                    self.line(record.index, "complete", Some(Colour::Green), "");
                }
                (StepState::Running, _) => self.line(record.index, "started", None, ""),
                (StepState::Failed, error) => {
                    let error = brief(error.as_deref().unwrap_or_default());
                    self.line(
                        record.index,
                        "failed",
                        Some(Colour::Red),
                        &format!(": {error}"),
                    );
                }
                _ => {}
            }
        }
        self.draw();
    }

    /// How many steps are done, and how many there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let done = self
            .steps
            .iter()
            .filter(|step| step.state.satisfies_dependents())
            .count();
        (done, self.steps.len())
    }

    /// The names of the steps that run, a few of them.
    pub(crate) fn running(&self) -> Option<String> {
        names(
            self.steps
                .iter()
                .filter(|step| step.state == StepState::Running)
                .map(|step| step.name.as_str()),
        )
    }

    /// Says something besides.
    pub(crate) fn note(&self, text: &str) {
        self.aside(|| output::note(text));
    }

    /// Says something because of a key that was pressed.
    pub(crate) fn note_after_key(&self, text: &str) {
        self.aside(|| output::note_after_key(text));
    }

    fn aside(&self, say: impl FnOnce()) {
        match &self.bar {
            // Suspended, not printed by the bar: a bar that is not drawn would swallow it.
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn set(&mut self, index: u32, state: StepState) {
        if let Some(step) = self.steps.get_mut(index as usize) {
            step.state = state;
        }
    }

    fn line(&self, index: u32, what: &str, colour: Option<Colour>, rest: &str) {
        let Some(step) = self.steps.get(index as usize) else {
            return;
        };
        let (done, total) = self.counts();
        let width = total.to_string().len();
        let what = format!("{what:<8}");
        let what = colour.map_or_else(|| what.clone(), |colour| self.paint.paint(colour, &what));
        self.note(&format!(
            "[{done:>width$}/{total}] {what} {}{rest}",
            step.name
        ));
    }

    fn draw(&self) {
        let Some(bar) = &self.bar else {
            return;
        };
        let (done, _) = self.counts();
        bar.set_position(done as u64);
        let retrying = self
            .steps
            .iter()
            .filter(|step| step.state == StepState::RetryWait);
        let now = Instant::now();
        let retrying = retrying.map(|step| match step.due {
            Some(due) => format!(
                "{} in {}",
                step.name,
                clock::duration(due.saturating_duration_since(now))
            ),
            None => step.name.clone(),
        });
        let retrying: Vec<String> = retrying.collect();
        let retrying = names(retrying.iter().map(String::as_str));
        let parts = [
            self.running(),
            retrying.map(|names| format!("again: {names}")),
        ];
        bar.set_message(parts.into_iter().flatten().collect::<Vec<_>>().join("; "));
    }
}

/// What shows when the terminal is wide enough: bar, counts, time, what runs.
fn bar(total: usize, paint: Paint) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
    let template = if paint.is_on() {
        "[{bar:30.green}] {pos}/{len} {elapsed:.dim} {wide_msg}"
    } else {
        "[{bar:30}] {pos}/{len} {elapsed} {wide_msg}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(TICK);
    bar
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> Option<String> {
    let all: Vec<&str> = all.collect();
    let named = all
        .iter()
        .take(NAMED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match all.len() {
        0 => None,
        count if count > NAMED => Some(format!("{named} and {} more", count - NAMED)),
        _ => Some(named),
    }
}

/// An error in one line.
fn brief(error: &str) -> String {
    let lines: Vec<&str> = error.trim_end().lines().collect();
    output::shorten(&lines.join(" / "), 160)
}
