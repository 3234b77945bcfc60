//! How the program ends: the exit statuses, and errors for people.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use crate::output;

/// What the exit status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// The task is complete, or the question answered.
    Complete = 0,
    /// The task ended otherwise, what was asked cannot be done to it now, or something is wrong in the database.
    Ended = 1,
    /// Bad usage or a bad template.
    Usage = 2,
    /// Database or internal trouble.
    Trouble = 3,
    /// Interrupted; the same command resumes.
    Interrupted = 130,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// Why the program cannot do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    /// One message for each problem; a message may have several lines.
    problems: Vec<String>,
    /// What to do about it.
    advice: Option<String>,
}

impl Failure {
    pub(crate) fn usage(problem: impl Display) -> Self {
        Self::new(Status::Usage, vec![problem.to_string()])
    }

    /// Several things that the user can put right.
    pub(crate) fn template(problems: impl IntoIterator<Item = impl Display>) -> Self {
        let problems = problems.into_iter().map(|problem| problem.to_string());
        Self::new(Status::Usage, problems.collect())
    }

    /// What was asked for cannot be done to this task now.
    pub(crate) fn refused(problem: impl Display) -> Self {
        Self::new(Status::Ended, vec![problem.to_string()])
    }

    /// Something inside went wrong that has no error to show.
    pub(crate) fn internal(problem: impl Into<String>) -> Self {
        Self::new(Status::Trouble, vec![problem.into()])
    }

    pub(crate) fn trouble(error: &(dyn Error + 'static)) -> Self {
        Self::new(Status::Trouble, vec![chain(error)])
    }

    fn new(status: Status, problems: Vec<String>) -> Self {
        Self {
            status,
            problems,
            advice: None,
        }
    }

    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(crate) fn report(&self) -> Status {
        for problem in &self.problems {
            output::error(problem);
        }
        if let Some(advice) = &self.advice {
            output::note(advice);
        }
        self.status
    }
}

/// Standard output could not be written. (A reader that went away is no failure: see [`output`].)
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(
            Status::Trouble,
            vec![format!("cannot write the output: {error}")],
        )
    }
}

/// An error with its causes, each said once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
