//! The handlers of a program, ready for use: names and erased handlers.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::erased::ErasedHandler;
use crate::orchestration::template::{Problem, TaskTemplate, TemplateErrors};

/// The handlers that a program offers, by name. Cheap to clone; made by
/// [`StepHandlers::build`](super::StepHandlers::build). The default has none.
#[derive(Clone, Default)]
pub struct HandlerTable {
    handlers: Arc<BTreeMap<String, Arc<dyn ErasedHandler>>>,
}

impl HandlerTable {
    pub(super) fn new(
        entries: Vec<(String, Arc<dyn ErasedHandler>)>,
    ) -> Result<Self, InvalidHandlers> {
        let mut handlers = BTreeMap::new();
        let mut problems = InvalidHandlers {
            duplicates: Vec::new(),
            unnamed: 0,
        };
        for (name, handler) in entries {
            if name.trim().is_empty() {
                problems.unnamed += 1;
                continue;
            }
            match handlers.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(handler);
                }
                Entry::Occupied(taken) => problems.duplicates.push(taken.key().clone()),
            }
        }
        if problems.duplicates.is_empty() && problems.unnamed == 0 {
            let handlers = Arc::new(handlers);
            Ok(Self { handlers })
        } else {
            Err(problems)
        }
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> Vec<String> {
        self.handlers.keys().cloned().collect()
    }

    /// Whether there is a handler of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.handlers.contains_key(name)
    }

    /// Whether a step run by the handler `name` may be configured like this.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration, or that there is no such handler.
    pub fn check_config(&self, name: &str, config: &Value) -> Result<(), String> {
        match self.get(name) {
            Some(handler) => handler.check_config(config),
            None => Err(format!("there is no handler \"{name}\"")),
        }
    }

    /// Whether every step of a template can be run by these handlers.
    ///
    /// # Errors
    ///
    /// [`TemplateErrors`]: every step whose handler is missing or does not accept its settings, with lines.
    pub fn check(&self, template: &TaskTemplate) -> Result<(), TemplateErrors> {
        template.check_steps(|step| match self.get(step.callable()) {
            None => Err(Problem::unknown_handler(
                step,
                self.handlers.keys().map(String::as_str),
            )),
            Some(handler) => handler
                .check_config(step.initialization())
                .map_err(|problem| Problem::bad_settings(step, problem)),
        })
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<dyn ErasedHandler>> {
        self.handlers.get(name).cloned()
    }
}

impl fmt::Debug for HandlerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HandlerTable").field(&self.names()).finish()
    }
}

/// Names under which no handlers can be offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.describe())]
pub struct InvalidHandlers {
    duplicates: Vec<String>,
    unnamed: usize,
}

impl InvalidHandlers {
    /// Names that were registered more than once.
    pub fn duplicates(&self) -> &[String] {
        &self.duplicates
    }

    /// How many handlers were registered under an empty name.
    pub fn unnamed(&self) -> usize {
        self.unnamed
    }

    fn describe(&self) -> String {
        let mut problems = Vec::new();
        if !self.duplicates.is_empty() {
            let names = self.duplicates.join("\", \"");
            problems.push(format!(
                "step handlers registered more than once: \"{names}\""
            ));
        }
        if self.unnamed > 0 {
            problems.push(format!(
                "step handlers registered without a name: {}",
                self.unnamed
            ));
        }
        problems.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use crate::orchestration::worker::{StepContext, StepError, StepHandlers};

    async fn nothing((): (), _: StepContext) -> Result<(), StepError> {
        Ok(())
    }

    #[test]
    fn o14_duplicate_and_empty_names_are_all_reported() {
        let handlers = StepHandlers::new();
        let handlers = handlers
            .register("a", nothing)
            .register("b", nothing)
            .register("a", nothing);
        let error = handlers
            .register(" ", nothing)
            .register("b", nothing)
            .build()
            .unwrap_err();
        assert_eq!(error.duplicates(), ["a", "b"]);
        assert_eq!(error.unnamed(), 1);
        assert_eq!(
            error.to_string(),
            "step handlers registered more than once: \"a\", \"b\"; step handlers registered without a name: 1"
        );
    }

    #[test]
    fn o14_a_table_knows_its_names_and_refuses_others() {
        let table = StepHandlers::new()
            .register("b", nothing)
            .register("a", nothing)
            .build()
            .unwrap();
        assert_eq!(table.names(), ["a", "b"]);
        assert!(table.contains("a") && !table.contains("c"));
        table
            .check_config("a", &serde_json::json!({"anything": 1}))
            .unwrap();
        assert_eq!(
            table
                .check_config("c", &serde_json::Value::Null)
                .unwrap_err(),
            "there is no handler \"c\""
        );
    }
}
