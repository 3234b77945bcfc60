//! What can be wrong with a template, said so that it can be put right.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{MAX_DOCUMENT_BYTES, MAX_NAME_BYTES, MAX_PROBLEMS, MAX_STEPS, StepTemplate};

/// A line and a column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl Place {
    /// Where the text goes on that begins with these bytes, which are UTF-8.
    pub(super) fn after(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let last = text.rsplit('\n').next().unwrap_or_default();
        Self {
            line: text.matches('\n').count() as u64 + 1,
            column: last.chars().count() as u64 + 1,
        }
    }
}

/// One thing that is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The document is neither YAML nor JSON.
    #[error("{0}")]
    Syntax(String),
    /// The document is too large.
    #[error(
        "the template is larger than {MAX_DOCUMENT_BYTES} bytes, with what its aliases and defaults stand for"
    )]
    TooLarge,
    /// A key that a map has twice.
    #[error("the key `{}` stands twice", .key.escape_debug())]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A field that templates do not have.
    #[error("unknown key `{}` in {within}{}", .key.escape_debug(), meant(.suggestion.as_ref()))]
    UnknownKey {
        /// The key.
        key: String,
        /// What it stands in.
        within: String,
        /// A known key that looks like it.
        suggestion: Option<String>,
    },
    /// A field that must be there.
    #[error("{within} has no `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// What it should stand in.
        within: String,
    },
    /// A value of the wrong kind, or out of its range.
    #[error("`{key}` of {within} {problem}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// What it stands in.
        within: String,
        /// What is wrong with the value.
        problem: String,
    },
    /// Something that is known and not supported yet.
    #[error("{what} is not supported; {advice}")]
    Unsupported {
        /// What.
        what: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// A version that is not `major.minor.patch`.
    #[error("version {version:?} is not of the form major.minor.patch, such as \"1.0.0\"")]
    BadVersion {
        /// The version.
        version: String,
    },
    /// No steps.
    #[error("the template has no steps")]
    NoSteps,
    /// Too many steps.
    #[error("the template has {count} steps, the limit is {MAX_STEPS}")]
    TooManySteps {
        /// How many.
        count: usize,
    },
    /// An empty name, or one that is too long or cannot be shown.
    #[error(
        "the name of {within} must be 1 to {MAX_NAME_BYTES} bytes, without control characters and without \
         white space around it"
    )]
    BadName {
        /// What it names.
        within: String,
    },
    /// Two steps of one name.
    #[error("step {step:?} is declared twice")]
    DuplicateStep {
        /// The name.
        step: String,
    },
    /// A dependency on a step that is not there.
    #[error("step {step:?} depends on unknown step {dependency:?}{}", meant(.suggestion.as_ref()))]
    UnknownDependency {
        /// The step.
        step: String,
        /// What it depends on.
        dependency: String,
        /// A step whose name looks like it.
        suggestion: Option<String>,
    },
    /// A dependency that is named twice.
    #[error("step {step:?} names its dependency {dependency:?} twice")]
    DuplicateDependency {
        /// The step.
        step: String,
        /// What it depends on.
        dependency: String,
    },
    /// A step that waits for itself.
    #[error("step {step:?} depends on itself")]
    SelfDependency {
        /// The step.
        step: String,
    },
    /// Steps that wait for each other.
    #[error("steps depend on each other in a cycle: {}", arrows(.path))]
    Cycle {
        /// The steps along the cycle; the first is named again at the end.
        path: Vec<String>,
    },
    /// A handler that is not registered.
    #[error("step {step:?} names the unknown handler {callable:?}{}", meant(.suggestion.as_ref()))]
    UnknownHandler {
        /// The step.
        step: String,
        /// The handler.
        callable: String,
        /// A handler whose name looks like it.
        suggestion: Option<String>,
    },
    /// Settings that the handler does not accept.
    #[error("step {step:?}: handler {callable:?} does not accept its `initialization`: {problem}")]
    BadSettings {
        /// The step.
        step: String,
        /// The handler.
        callable: String,
        /// What the handler says.
        problem: String,
    },
}

impl Problem {
    pub(crate) fn unknown_handler<'a>(
        step: &StepTemplate,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self::UnknownHandler {
            step: step.name().to_owned(),
            callable: step.callable().to_owned(),
            suggestion: closest(step.callable(), known),
        }
    }

    pub(crate) fn bad_settings(step: &StepTemplate, problem: String) -> Self {
        Self::BadSettings {
            step: step.name().to_owned(),
            callable: step.callable().to_owned(),
            problem,
        }
    }
}

fn meant(suggestion: Option<&String>) -> String {
    suggestion
        .map(|name| format!(" (did you mean {name:?}?)"))
        .unwrap_or_default()
}

/// A problem and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The file, if the template came from one.
    pub file: Option<Arc<str>>,
    /// The place, if the template came from a document.
    pub place: Option<Place>,
    /// What is wrong.
    pub problem: Problem,
}

/// The names along a cycle; of a long one the middle is left out.
fn arrows(path: &[String]) -> String {
    const SHOWN: usize = 20;
    let names = |names: &[String]| {
        let names: Vec<_> = names
            .iter()
            .map(|name| name.escape_debug().to_string())
            .collect();
        names.join(" -> ")
    };
    match path.len().checked_sub(SHOWN) {
        Some(more) if more > 1 => {
            let (first, last) = (&path[..SHOWN - 1], &path[path.len() - 1..]);
            format!("{} -> ... ({more} more) -> {}", names(first), names(last))
        }
        _ => names(path),
    }
}

/// A text for a message: cut where no name may go on.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_NAME_BYTES) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

impl TemplateError {
    pub(super) fn new(problem: Problem, place: Option<Place>) -> Self {
        Self {
            file: None,
            place,
            problem,
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.place) {
            (Some(file), Some(place)) => write!(f, "{file}:{}:{}: ", place.line, place.column)?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, Some(place)) => write!(f, "line {}, column {}: ", place.line, place.column)?,
            (None, None) => {}
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for TemplateError {}

/// What is wrong with a template, in the order of the document; never empty. At most [`MAX_PROBLEMS`] are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateErrors(Problems);

/// The problems found so far. It forgets what is beyond the limit but counts it, so that a document made of
/// nothing but mistakes costs no more than any other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Problems {
    kept: Vec<TemplateError>,
    more: usize,
}

impl Problems {
    pub(super) fn push(&mut self, problem: Problem, place: Option<Place>) {
        if self.kept.len() < MAX_PROBLEMS {
            self.kept.push(TemplateError::new(problem, place));
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl TemplateErrors {
    pub(super) fn new(mut problems: Problems) -> Self {
        problems
            .kept
            .sort_by_key(|error| error.place.map(|place| (place.line, place.column)));
        Self(problems)
    }

    pub(super) fn one(error: TemplateError) -> Self {
        Self(Problems {
            kept: vec![error],
            more: 0,
        })
    }

    pub(super) fn in_file(mut self, file: Option<&Arc<str>>) -> Self {
        for error in &mut self.0.kept {
            error.file = file.cloned();
        }
        self
    }

    /// The problems that were kept.
    pub fn as_slice(&self) -> &[TemplateError] {
        &self.0.kept
    }

    /// How many more there are than were kept.
    pub fn more(&self) -> usize {
        self.0.more
    }
}

/// One problem a line.
impl fmt::Display for TemplateErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.kept.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        match self.0.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more problems"),
        }
    }
}

impl std::error::Error for TemplateErrors {}

/// A template could not be loaded from a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the template {}: {source}", file.display())]
    Read {
        /// Its path.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no valid template.
    #[error(transparent)]
    Template(TemplateErrors),
}

/// The candidate that a misspelt word most likely stands for: within a third of its length of edits.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    // What is longer than any name is no misspelt name, and would take long to compare.
    if word.len() > MAX_NAME_BYTES {
        return None;
    }
    let limit = (word.chars().count() / 3).min(4);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 * limit)
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

/// Levenshtein's distance, by the usual two-row dynamic programme.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, from) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in other.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}
