//! Templates: the graph of steps as data, from YAML, JSON or the typed builder.
//!
//! A [`TaskTemplate`] can only be made through validation, so a value of it is always sound: names are unique,
//! dependencies exist, there is no cycle, and nothing that was declared is ignored. What is wrong with a
//! document is reported all at once, with lines and columns ([`TemplateErrors`]).
//!
//! ```
//! use postroom::orchestration::template::TaskTemplate;
//!
//! let from_yaml = TaskTemplate::from_yaml(r#"
//! name: order
//! version: "1.0.0"
//! steps:
//!   - name: pay
//!     handler: { callable: payments.charge }
//!   - name: ship
//!     dependencies: [pay]
//!     handler: { callable: shipping.send }
//! "#)?;
//!
//! let mut order = TaskTemplate::builder("order").version("1.0.0");
//! let pay = order.step("pay", "payments.charge").add();
//! order.step("ship", "shipping.send").after([&pay]);
//! assert_eq!(order.build()?.canonical_json(), from_yaml.canonical_json());
//! # Ok::<(), postroom::orchestration::template::TemplateErrors>(())
//! ```
//!
//! YAML is that of version 1.2: `no` and `on` are texts. Anchors, aliases and `<<` mean what they stand for;
//! a tag, a second document or a key that stands twice is refused.
//!
//! # Fields
//!
//! | field | |
//! |---|---|
//! | `name` | of the template; required |
//! | `namespace_name` | default `default` |
//! | `version` | `major.minor.patch`; required |
//! | `description` | for people |
//! | `failure_policy` | `continue` (default): independent branches go on when a step has failed; `fail_fast`: nothing new starts, steps that run are told to stop, the rest is cancelled |
//! | `steps[].name` | unique; required |
//! | `steps[].description`, `steps[].type` | for people; `standard` |
//! | `steps[].dependencies` or `steps[].depends_on` | names of steps that come before |
//! | `steps[].handler.callable` | the handler that runs it; required |
//! | `steps[].handler.initialization` | settings for the handler |
//! | `steps[].retry` | [`RetryPolicy`], field by field |
//! | `steps[].timeout_seconds` | for one attempt |

mod builder;
mod canonical;
mod compose;
mod document;
mod draw;
mod errors;
mod graph;
mod identity;
mod reader;
mod retry;
mod scalar;
mod step;
mod validation;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use builder::{StepBuilder, StepRef, TemplateBuilder};
pub use canonical::canonical_json;
use errors::Problems;
pub use errors::{LoadError, Place, Problem, TemplateError, TemplateErrors};
pub use graph::Graph;
pub use identity::{Identity, content_hash};
pub use retry::{Backoff, RetryPolicy};
pub use step::StepTemplate;

use super::state::FailurePolicy;

/// The most steps a template may have.
pub const MAX_STEPS: usize = 10_000;
/// The most bytes a template's document may have.
pub const MAX_DOCUMENT_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes a name (of a template, namespace, step or handler) may have.
pub const MAX_NAME_BYTES: usize = 128;

/// The most problems of one template that are kept for its report; more are counted.
pub const MAX_PROBLEMS: usize = 100;
/// The longest timeout of an attempt: a year. Beyond it, a number is a mistake.
pub const MAX_TIMEOUT: Duration = Duration::from_hours(365 * 24);

/// A validated graph of steps. See the [module documentation](self).
#[derive(Debug, Clone, PartialEq)]
pub struct TaskTemplate {
    name: String,
    namespace: String,
    version: String,
    description: Option<String>,
    failure_policy: FailurePolicy,
    steps: Vec<StepTemplate>,
    graph: Graph,
    file: Option<Arc<str>>,
    canonical: canonical::Kept,
}

impl TaskTemplate {
    /// Reads a template from YAML.
    ///
    /// # Errors
    ///
    /// [`TemplateErrors`]: all that is wrong with it, each with its line.
    pub fn from_yaml(text: &str) -> Result<Self, TemplateErrors> {
        Self::read(document::from_yaml(text), None)
    }

    /// Reads a template from JSON.
    ///
    /// # Errors
    ///
    /// [`TemplateErrors`]: all that is wrong with it, each with its line.
    pub fn from_json(text: &str) -> Result<Self, TemplateErrors> {
        Self::read(document::from_json(text), None)
    }

    /// Reads a template from a file: JSON if its name ends in `.json`, else YAML.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if the file cannot be read, or [`TemplateErrors`] within it, which then name the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let unreadable = |source| LoadError::Read {
            file: path.to_path_buf(),
            source,
        };
        let file: Arc<str> = path.to_string_lossy().into();
        let refused = |problem, place| {
            let error = TemplateError::new(problem, place);
            LoadError::Template(TemplateErrors::one(error).in_file(Some(&file)))
        };
        let mut bytes = Vec::new();
        // Not by the file's size: a pipe has none.
        std::fs::File::open(path)
            .and_then(|opened| {
                opened
                    .take(MAX_DOCUMENT_BYTES as u64 + 1)
                    .read_to_end(&mut bytes)
            })
            .map_err(unreadable)?;
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(refused(Problem::TooLarge, None));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let place = Place::after(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
            let message = "the file is not UTF-8 from here on".to_owned();
            refused(Problem::Syntax(message), Some(place))
        })?;
        let json = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let document = if json {
            document::from_json(&text)
        } else {
            document::from_yaml(&text)
        };
        Self::read(document, Some(file)).map_err(LoadError::Template)
    }

    /// Begins a template in code.
    pub fn builder(name: impl Into<String>) -> TemplateBuilder {
        TemplateBuilder::new(name.into())
    }

    fn read(
        document: Result<document::Located<document::Node>, TemplateError>,
        file: Option<Arc<str>>,
    ) -> Result<Self, TemplateErrors> {
        document
            .map_err(TemplateErrors::one)
            .and_then(|document| reader::read(&document))
            .map_err(|errors| errors.in_file(file.as_ref()))
            .map(|template| Self { file, ..template })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its version, `major.minor.patch`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What it says of itself.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// What the failure of one step means for the others.
    pub fn failure_policy(&self) -> FailurePolicy {
        self.failure_policy
    }

    /// Its steps, in the order they were declared.
    pub fn steps(&self) -> &[StepTemplate] {
        &self.steps
    }

    /// What depends on what, by the steps' positions.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Asks `judge` about every step, and collects what it finds wrong, with the steps' lines.
    ///
    /// # Errors
    ///
    /// [`TemplateErrors`] if it finds anything.
    pub fn check_steps(
        &self,
        mut judge: impl FnMut(&StepTemplate) -> Result<(), Problem>,
    ) -> Result<(), TemplateErrors> {
        let mut problems = Problems::default();
        for step in &self.steps {
            if let Err(problem) = judge(step) {
                problems.push(problem, step.place);
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(TemplateErrors::new(problems).in_file(self.file.as_ref()))
        }
    }

    /// The template as JSON with sorted keys and every default spelt out: the form that is stored and hashed.
    /// Equal templates give the same text, whether they came from YAML, JSON or code.
    pub fn canonical_json(&self) -> String {
        self.canonical().to_owned()
    }

    /// The same, made once.
    pub(crate) fn canonical(&self) -> &str {
        self.canonical.get(self)
    }

    /// The graph as a Mermaid flowchart.
    pub fn to_mermaid(&self) -> String {
        draw::mermaid(self)
    }

    /// The graph in Graphviz's language.
    pub fn to_dot(&self) -> String {
        draw::dot(self)
    }
}

/// As [`TaskTemplate::canonical_json`] has it.
impl serde::Serialize for TaskTemplate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        canonical::value(self).serialize(serializer)
    }
}

/// Through validation, like every way to a template. Places are not known.
impl<'de> serde::Deserialize<'de> for TaskTemplate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document::unique::Keys(value) = serde::Deserialize::deserialize(deserializer)?;
        reader::read(&document::without_places(&value)).map_err(serde::de::Error::custom)
    }
}
