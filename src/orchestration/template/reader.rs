//! Reads a template out of a document, and says of everything in it that it does not know.

use std::time::Duration;

use serde_json::{Value, json};

use super::TaskTemplate;
use super::document::{Located, Node};
use super::errors::{Place, Problem, TemplateError, TemplateErrors, closest};
use super::retry::{Backoff, RetryPolicy};
use super::step::StepTemplate;
use super::validation::Draft;

/// Kinds of steps that the field knows.
const OTHER_TYPES: [&str; 4] = [
    "decision",
    "deferred_convergence",
    "batchable",
    "batch_worker",
];

pub(super) fn read(document: &Located<Node>) -> Result<TaskTemplate, TemplateErrors> {
    let mut reader = Reader::default();
    let Some(mut fields) = Fields::of(document, "the template", &mut reader) else {
        return Err(TemplateErrors::new(reader.errors));
    };
    let name = reader.required_text(&mut fields, "name");
    let namespace = reader.text(&mut fields, "namespace_name");
    let version = reader.required_text(&mut fields, "version");
    let description = reader.text(&mut fields, "description");
    reader.failure_policy(&mut fields);
    let steps = reader.steps(&mut fields);
    reader.refuse_rest(
        fields,
        &[
            "name",
            "namespace_name",
            "version",
            "description",
            "failure_policy",
            "steps",
        ],
    );
    if !reader.errors.is_empty() && (name.is_none() || version.is_none() || steps.is_empty()) {
        return Err(TemplateErrors::new(reader.errors));
    }
    let place = |found: &Option<Located<String>>| found.as_ref().and_then(|found| found.place);
    let places = [place(&name), place(&namespace), place(&version)];
    let text = |found: Option<Located<String>>| found.map(|found| found.value);
    Draft {
        places,
        name: text(name).unwrap_or_default(),
        namespace: text(namespace).unwrap_or_else(|| "default".into()),
        version: text(version).unwrap_or_default(),
        description: text(description),
        steps,
        errors: reader.errors,
    }
    .validate()
}

/// The entries of a map that have not been read yet.
struct Fields<'a> {
    within: String,
    place: Option<Place>,
    entries: Vec<Option<&'a (Located<String>, Located<Node>)>>,
}

impl<'a> Fields<'a> {
    fn of(node: &'a Located<Node>, within: impl Into<String>, reader: &mut Reader) -> Option<Self> {
        let within = within.into();
        match &node.value {
            Node::Map(entries) => Some(Self {
                within,
                place: node.place,
                entries: entries.iter().map(Some).collect(),
            }),
            other => {
                let problem = format!("{within} must be a map, this is {}", other.kind());
                reader.report(Problem::Syntax(problem), node.place);
                None
            }
        }
    }

    fn take(&mut self, key: &str) -> Option<&'a (Located<String>, Located<Node>)> {
        self.entries
            .iter_mut()
            .find(|entry| entry.is_some_and(|(name, _)| name.value == key))?
            .take()
    }

    /// An entry whose value is nothing counts as absent.
    fn value(&mut self, key: &str) -> Option<&'a Located<Node>> {
        self.take(key)
            .map(|(_, node)| node)
            .filter(|node| !matches!(node.value, Node::Null))
    }
}

#[derive(Default)]
struct Reader {
    errors: Vec<TemplateError>,
}

impl Reader {
    fn report(&mut self, problem: Problem, place: Option<Place>) {
        self.errors.push(TemplateError::new(problem, place));
    }

    fn bad_value(
        &mut self,
        key: &'static str,
        within: &str,
        problem: impl Into<String>,
        place: Option<Place>,
    ) {
        let problem = Problem::BadValue {
            key,
            within: within.to_owned(),
            problem: problem.into(),
        };
        self.report(problem, place);
    }

    fn text(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<Located<String>> {
        let node = fields.value(key)?;
        match &node.value {
            Node::Text(text) => Some(Located {
                value: text.clone(),
                place: node.place,
            }),
            other => {
                let problem = format!(
                    "must be a text, this is {} (put it in quotes)",
                    other.kind()
                );
                self.bad_value(key, &fields.within, problem, node.place);
                None
            }
        }
    }

    fn required_text(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
    ) -> Option<Located<String>> {
        let present = fields.entries.iter().any(|entry| {
            entry.is_some_and(|(name, node)| name.value == key && !matches!(node.value, Node::Null))
        });
        if !present {
            // Takes an entry that is there with nothing in it.
            fields.take(key);
            let problem = Problem::MissingKey {
                key,
                within: fields.within.clone(),
            };
            self.report(problem, fields.place);
            return None;
        }
        self.text(fields, key)
    }

    fn number(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<u64> {
        let node = fields.value(key)?;
        let number = match &node.value {
            Node::Number(number) => number.as_u64(),
            _ => None,
        };
        if number.is_none() {
            self.bad_value(
                key,
                &fields.within,
                "must be a whole number from 0 up",
                node.place,
            );
        }
        number
    }

    fn failure_policy(&mut self, fields: &mut Fields<'_>) {
        let Some(policy) = self.text(fields, "failure_policy") else {
            return;
        };
        match policy.value.as_str() {
            "continue" => {}
            "fail_fast" => self.report(
                Problem::Unsupported {
                    what: "`failure_policy: fail_fast`".into(),
                    advice: "use `continue`, which lets independent branches go on",
                },
                policy.place,
            ),
            other => {
                let problem = format!("is {other:?}; it can be `continue`");
                self.bad_value("failure_policy", &fields.within, problem, policy.place);
            }
        }
    }

    fn steps(&mut self, fields: &mut Fields<'_>) -> Vec<StepTemplate> {
        let Some(node) = fields.value("steps") else {
            self.report(Problem::NoSteps, fields.place);
            return Vec::new();
        };
        let Node::List(items) = &node.value else {
            let problem = format!("must be a list, this is {}", node.value.kind());
            self.bad_value("steps", &fields.within, problem, node.place);
            return Vec::new();
        };
        if items.is_empty() {
            self.report(Problem::NoSteps, node.place);
        }
        items.iter().filter_map(|item| self.step(item)).collect()
    }

    fn step(&mut self, item: &Located<Node>) -> Option<StepTemplate> {
        let mut fields = Fields::of(item, "a step", self)?;
        let name = self.required_text(&mut fields, "name");
        let place = name.as_ref().and_then(|name| name.place).or(item.place);
        if let Some(name) = &name {
            fields.within = format!("step {:?}", name.value);
        }
        let description = self.text(&mut fields, "description").map(|text| text.value);
        self.step_type(&mut fields);
        let dependencies = self.dependencies(&mut fields);
        let handler = self.handler(&mut fields);
        let callable = handler
            .as_ref()
            .map_or("", |(callable, _)| callable.as_str());
        let retry = self.retry(&mut fields, callable);
        let timeout = self.timeout(&mut fields);
        if let Some((key, _)) = fields.take("batch_config") {
            let problem = Problem::Unsupported {
                what: format!("`batch_config` of {}", fields.within),
                advice: "declare the steps one by one",
            };
            self.report(problem, key.place);
        }
        self.refuse_rest(
            fields,
            &[
                "name",
                "description",
                "type",
                "dependencies",
                "depends_on",
                "handler",
                "retry",
                "timeout_seconds",
            ],
        );
        let (callable, initialization) = handler?;
        Some(StepTemplate {
            name: name?.value,
            description,
            callable,
            initialization,
            dependencies,
            retry,
            timeout,
            place,
        })
    }

    fn step_type(&mut self, fields: &mut Fields<'_>) {
        let Some(kind) = self.text(fields, "type") else {
            return;
        };
        if kind.value == "standard" {
            return;
        }
        if OTHER_TYPES.contains(&kind.value.as_str()) {
            let problem = Problem::Unsupported {
                what: format!("`type: {}` of {}", kind.value, fields.within),
                advice: "use `standard` steps",
            };
            self.report(problem, kind.place);
        } else {
            let problem = format!("is {:?}; it can be `standard`", kind.value);
            self.bad_value("type", &fields.within, problem, kind.place);
        }
    }

    fn dependencies(&mut self, fields: &mut Fields<'_>) -> Vec<String> {
        let first = fields.take("dependencies");
        let second = fields.take("depends_on");
        let entry = match (first, second) {
            (Some(_), Some((key, _))) => {
                let problem = "says the same as `dependencies`: keep one of them";
                self.bad_value("depends_on", &fields.within, problem, key.place);
                return Vec::new();
            }
            (one, other) => one.or(other),
        };
        let Some((_, node)) = entry else {
            return Vec::new();
        };
        let items = match &node.value {
            Node::Null => return Vec::new(),
            Node::List(items) => items,
            other => {
                let problem = format!("must be a list of steps' names, this is {}", other.kind());
                self.bad_value("dependencies", &fields.within, problem, node.place);
                return Vec::new();
            }
        };
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            if let Node::Text(name) = &item.value {
                names.push(name.clone());
            } else {
                let problem = format!(
                    "must be a list of steps' names, this holds {}",
                    item.value.kind()
                );
                self.bad_value("dependencies", &fields.within, problem, item.place);
            }
        }
        names
    }

    fn handler(&mut self, fields: &mut Fields<'_>) -> Option<(String, Value)> {
        let Some(node) = fields.value("handler") else {
            let problem = Problem::MissingKey {
                key: "handler",
                within: fields.within.clone(),
            };
            self.report(problem, fields.place);
            return None;
        };
        let within = format!("the handler of {}", fields.within);
        let mut handler = Fields::of(node, within, self)?;
        let callable = self.required_text(&mut handler, "callable");
        let initialization = match handler.value("initialization") {
            None => json!({}),
            Some(node) => {
                if !matches!(node.value, Node::Map(_)) {
                    let problem = format!("must be a map, this is {}", node.value.kind());
                    self.bad_value("initialization", &handler.within, problem, node.place);
                }
                node.value.to_value()
            }
        };
        self.refuse_rest(handler, &["callable", "initialization"]);
        Some((callable?.value, initialization))
    }

    fn retry(&mut self, fields: &mut Fields<'_>, callable: &str) -> RetryPolicy {
        let mut policy = RetryPolicy::default_for(callable);
        let Some(node) = fields.value("retry") else {
            return policy;
        };
        let within = format!("the retry policy of {}", fields.within);
        let Some(mut retry) = Fields::of(node, within, self) else {
            return policy;
        };
        if let Some(node) = retry.value("retryable") {
            if let Node::Bool(retryable) = node.value {
                policy.retryable = retryable;
            } else {
                self.bad_value(
                    "retryable",
                    &retry.within,
                    "must be true or false",
                    node.place,
                );
            }
        }
        if let Some(attempts) = self.number(&mut retry, "max_attempts") {
            // What is too large is refused with the rest of the rules.
            policy.max_attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
        }
        if let Some(backoff) = self.text(&mut retry, "backoff") {
            let known = Backoff::ALL.into_iter();
            if let Some(kind) = known.clone().find(|kind| kind.as_str() == backoff.value) {
                policy.backoff = kind;
            } else {
                let known = known.map(Backoff::as_str).collect::<Vec<_>>().join(", ");
                let problem = format!("is {:?}; it can be one of {known}", backoff.value);
                self.bad_value("backoff", &retry.within, problem, backoff.place);
            }
        }
        if let Some(max) = self.number(&mut retry, "max_backoff_ms") {
            policy.max_backoff_ms = max;
            policy.backoff_base_ms = policy.backoff_base_ms.min(max);
        }
        if let Some(base) = self.number(&mut retry, "backoff_base_ms") {
            policy.backoff_base_ms = base;
        }
        self.refuse_rest(
            retry,
            &[
                "retryable",
                "max_attempts",
                "backoff",
                "backoff_base_ms",
                "max_backoff_ms",
            ],
        );
        policy
    }

    fn timeout(&mut self, fields: &mut Fields<'_>) -> Option<Duration> {
        /// A year: beyond it, a number is a mistake.
        const LONGEST: f64 = 365.0 * 24.0 * 60.0 * 60.0;
        let node = fields.value("timeout_seconds")?;
        let seconds = match &node.value {
            Node::Number(number) => number.as_f64(),
            _ => None,
        };
        match seconds {
            Some(seconds) if seconds > 0.0 && seconds <= LONGEST => {
                let timeout = Duration::from_secs_f64(seconds);
                let whole = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                Some(Duration::from_millis(whole))
            }
            _ => {
                let problem = format!("must be a number above 0 and at most {LONGEST}");
                self.bad_value("timeout_seconds", &fields.within, problem, node.place);
                None
            }
        }
    }

    fn refuse_rest(&mut self, fields: Fields<'_>, known: &[&str]) {
        for (key, _) in fields.entries.into_iter().flatten() {
            let problem = Problem::UnknownKey {
                key: key.value.clone(),
                within: fields.within.clone(),
                suggestion: closest(&key.value, known.iter().copied()),
            };
            self.report(problem, key.place);
        }
    }
}
