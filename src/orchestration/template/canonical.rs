//! JSON in one form: keys sorted, no spaces, every default spelt out.

use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value, json};

use super::{StepTemplate, TaskTemplate};

/// A JSON value as text with the keys of every object sorted by their bytes, and no spaces. Numbers are
/// written as `serde_json` writes them.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            // Sorted here and not by the map: whether `serde_json`'s maps are sorted is another crate's choice.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (position, (key, value)) in entries.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// A template's own text: made when it is first needed, because each of its tasks is stored with it and hashed over
/// it. Says nothing that the template does not, and so makes no two of them differ.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(OnceLock<Arc<str>>);

impl Kept {
    pub(super) fn get(&self, template: &TaskTemplate) -> &str {
        self.0
            .get_or_init(|| canonical_json(&value(template)).into())
    }
}

impl PartialEq for Kept {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

pub(super) fn value(template: &TaskTemplate) -> Value {
    let mut object = Map::new();
    object.insert("name".into(), template.name.clone().into());
    object.insert("namespace_name".into(), template.namespace.clone().into());
    object.insert("version".into(), template.version.clone().into());
    object.insert(
        "failure_policy".into(),
        template.failure_policy.as_str().into(),
    );
    if let Some(description) = &template.description {
        object.insert("description".into(), description.clone().into());
    }
    object.insert("steps".into(), template.steps.iter().map(step).collect());
    Value::Object(object)
}

fn step(step: &StepTemplate) -> Value {
    let mut object = json!({
        "name": step.name,
        "type": "standard",
        "dependencies": step.dependencies,
        "handler": { "callable": step.callable, "initialization": step.initialization },
        "retry": {
            "retryable": step.retry.retryable,
            "max_attempts": step.retry.max_attempts,
            "backoff": step.retry.backoff.as_str(),
            "backoff_base_ms": step.retry.backoff_base_ms,
            "max_backoff_ms": step.retry.max_backoff_ms,
        },
    });
    if let Some(description) = &step.description {
        object["description"] = description.clone().into();
    }
    if let Some(timeout) = step.timeout {
        object["timeout_seconds"] = timeout.as_secs_f64().into();
    }
    object
}
