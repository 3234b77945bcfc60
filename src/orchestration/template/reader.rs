//! Reads a template out of a document, and says of everything in it that it does not know.

use std::time::Duration;

use serde_json::{Value, json};

use super::TaskTemplate;
use super::document::{Entry, Located, Node};
use super::errors::{Place, Problem, Problems, TemplateErrors, closest, short};
use super::retry::{Backoff, RetryPolicy};
use super::step::StepTemplate;
use super::validation::{Declared, Draft};
use crate::orchestration::state::FailurePolicy;

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
        return Err(TemplateErrors::new(reader.problems));
    };
    let name = reader.required_text(&mut fields, "name");
    let namespace = reader.text(&mut fields, "namespace_name");
    let version = reader.required_text(&mut fields, "version");
    let description = reader.text(&mut fields, "description");
    let failure_policy = reader.failure_policy(&mut fields);
    let (steps, place) = reader.steps(&mut fields);
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
    let default_namespace = || Located {
        value: "default".to_owned(),
        place: None,
    };
    Draft {
        name,
        namespace: namespace.or_else(|| Some(default_namespace())),
        version,
        description: description.map(|description| description.value),
        failure_policy,
        steps,
        place,
        problems: reader.problems,
    }
    .validate()
}

/// The entries of a map that have not been read yet.
struct Fields<'a> {
    within: String,
    place: Option<Place>,
    entries: Vec<Option<&'a Entry>>,
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

    fn take(&mut self, key: &str) -> Option<&'a Entry> {
        self.entries
            .iter_mut()
            .find(|entry| entry.is_some_and(|(name, _)| *name.value == *key))?
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
    problems: Problems,
}

impl Reader {
    fn report(&mut self, problem: Problem, place: Option<Place>) {
        self.problems.push(problem, place);
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
                value: text.as_ref().to_owned(),
                place: node.place,
            }),
            other => {
                let advice = match other {
                    Node::Bool(_) | Node::Number(_) => " (put it in quotes)",
                    _ => "",
                };
                let problem = format!("must be a text, this is {}{advice}", other.kind());
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
            entry.is_some_and(|(name, node)| {
                *name.value == *key && !matches!(node.value, Node::Null)
            })
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

    fn number(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<Located<u64>> {
        let node = fields.value(key)?;
        let number = match &node.value {
            Node::Number(number) => number.as_u64(),
            _ => None,
        };
        let Some(value) = number else {
            let problem = "must be a whole number from 0 up";
            self.bad_value(key, &fields.within, problem, node.place);
            return None;
        };
        let place = node.place;
        Some(Located { value, place })
    }

    fn failure_policy(&mut self, fields: &mut Fields<'_>) -> FailurePolicy {
        let Some(policy) = self.text(fields, "failure_policy") else {
            return FailurePolicy::default();
        };
        FailurePolicy::from_name(&policy.value).unwrap_or_else(|| {
            let problem = format!(
                "is {:?}; it can be `continue` or `fail_fast`",
                short(&policy.value)
            );
            self.bad_value("failure_policy", &fields.within, problem, policy.place);
            FailurePolicy::default()
        })
    }

    fn steps(&mut self, fields: &mut Fields<'_>) -> (Vec<Declared>, Option<Place>) {
        let Some(node) = fields.value("steps") else {
            self.report(Problem::NoSteps, fields.place);
            return (Vec::new(), None);
        };
        let Node::List(items) = &node.value else {
            let problem = format!("must be a list, this is {}", node.value.kind());
            self.bad_value("steps", &fields.within, problem, node.place);
            return (Vec::new(), None);
        };
        if items.is_empty() {
            self.report(Problem::NoSteps, node.place);
        }
        let steps = items.iter().filter_map(|item| self.step(item)).collect();
        (steps, node.place)
    }

    /// A step that has a name is kept whatever else is wrong with it, because others may depend on it.
    fn step(&mut self, item: &Located<Node>) -> Option<Declared> {
        let mut fields = Fields::of(item, "a step", self)?;
        let name = self.required_text(&mut fields, "name");
        let place = name.as_ref().and_then(|name| name.place).or(item.place);
        if let Some(name) = &name {
            fields.within = format!("step {:?}", short(&name.value));
        }
        let description = self.text(&mut fields, "description").map(|text| text.value);
        self.step_type(&mut fields);
        let dependencies = self.dependencies(&mut fields);
        let handler = self.handler(&mut fields);
        let incomplete = handler.is_none();
        let (callable, initialization) = handler.unwrap_or_else(|| {
            let value = String::new();
            (Located { value, place: None }, json!({}))
        });
        let (retry, retry_places) = self.retry(&mut fields, &callable.value);
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
        let dependency_places = dependencies.iter().map(|name| name.place).collect();
        Some(Declared {
            step: StepTemplate {
                name: name?.value,
                description,
                callable: callable.value,
                initialization,
                dependencies: dependencies.into_iter().map(|name| name.value).collect(),
                retry,
                timeout: timeout.as_ref().map(|timeout| timeout.value),
                place,
            },
            incomplete,
            callable: callable.place,
            timeout: timeout.and_then(|timeout| timeout.place),
            retry: retry_places,
            dependencies: dependency_places,
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
                what: format!("`type: {}` of {}", short(&kind.value), fields.within),
                advice: "use `standard` steps",
            };
            self.report(problem, kind.place);
        } else {
            let problem = format!("is {:?}; it can be `standard`", short(&kind.value));
            self.bad_value("type", &fields.within, problem, kind.place);
        }
    }

    fn dependencies(&mut self, fields: &mut Fields<'_>) -> Vec<Located<String>> {
        let first = fields.take("dependencies");
        let second = fields.take("depends_on");
        let (name, node) = match (first, second) {
            (Some(_), Some((key, _))) => {
                let problem = "says the same as `dependencies`: keep one of them";
                self.bad_value("depends_on", &fields.within, problem, key.place);
                return Vec::new();
            }
            (Some((_, node)), None) => ("dependencies", node),
            (None, Some((_, node))) => ("depends_on", node),
            (None, None) => return Vec::new(),
        };
        let items = match &node.value {
            Node::Null => return Vec::new(),
            Node::List(items) => items,
            other => {
                let problem = format!("must be a list of steps' names, this is {}", other.kind());
                self.bad_value(name, &fields.within, problem, node.place);
                return Vec::new();
            }
        };
        let mut names = Vec::with_capacity(items.len());
        for item in items.iter() {
            if let Node::Text(text) = &item.value {
                names.push(Located {
                    value: text.as_ref().to_owned(),
                    place: item.place,
                });
            } else {
                let kind = item.value.kind();
                let problem = format!("must be a list of steps' names, this holds {kind}");
                self.bad_value(name, &fields.within, problem, item.place);
            }
        }
        names
    }

    fn handler(&mut self, fields: &mut Fields<'_>) -> Option<(Located<String>, Value)> {
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
        Some((callable?, initialization))
    }

    fn retry(
        &mut self,
        fields: &mut Fields<'_>,
        callable: &str,
    ) -> (RetryPolicy, [Option<Place>; 3]) {
        let mut policy = RetryPolicy::default_for(callable);
        let mut places = [None; 3];
        let Some(node) = fields.value("retry") else {
            return (policy, places);
        };
        let within = format!("the retry policy of {}", fields.within);
        let Some(mut retry) = Fields::of(node, within, self) else {
            return (policy, places);
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
            policy.max_attempts = u32::try_from(attempts.value).unwrap_or(u32::MAX);
            places[0] = attempts.place;
        }
        if let Some(backoff) = self.text(&mut retry, "backoff") {
            let known = Backoff::ALL.into_iter();
            if let Some(kind) = known.clone().find(|kind| kind.as_str() == backoff.value) {
                policy.backoff = kind;
            } else {
                let known = known.map(Backoff::as_str).collect::<Vec<_>>().join(", ");
                let problem = format!("is {:?}; it can be one of {known}", short(&backoff.value));
                self.bad_value("backoff", &retry.within, problem, backoff.place);
            }
        }
        if let Some(max) = self.number(&mut retry, "max_backoff_ms") {
            policy.max_backoff_ms = max.value;
            policy.backoff_base_ms = policy.backoff_base_ms.min(max.value);
            places[2] = max.place;
        }
        if let Some(base) = self.number(&mut retry, "backoff_base_ms") {
            policy.backoff_base_ms = base.value;
            places[1] = base.place;
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
        (policy, places)
    }

    fn timeout(&mut self, fields: &mut Fields<'_>) -> Option<Located<Duration>> {
        let node = fields.value("timeout_seconds")?;
        let seconds = match &node.value {
            Node::Number(number) => number.as_f64(),
            _ => None,
        };
        let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let Some(timeout) = timeout else {
            let problem = "must be a number above 0, in seconds";
            self.bad_value("timeout_seconds", &fields.within, problem, node.place);
            return None;
        };
        // What is too long or too short is refused with the rest of the rules.
        let whole = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        Some(Located {
            value: Duration::from_millis(whole),
            place: node.place,
        })
    }

    fn refuse_rest(&mut self, fields: Fields<'_>, known: &[&str]) {
        for (key, _) in fields.entries.into_iter().flatten() {
            let problem = Problem::UnknownKey {
                key: short(&key.value),
                within: fields.within.clone(),
                suggestion: closest(&key.value, known.iter().copied()),
            };
            self.report(problem, key.place);
        }
    }
}
