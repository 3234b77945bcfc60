//! Templates in code, where a dependency is a value and not a name to misspell.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::TaskTemplate;
use super::document::Located;
use super::errors::{Problem, Problems, TemplateErrors};
use super::retry::RetryPolicy;
use super::step::StepTemplate;
use super::validation::{Declared, Draft};
use crate::orchestration::state::FailurePolicy;

/// Begun by [`TaskTemplate::builder`].
#[derive(Debug, Clone)]
pub struct TemplateBuilder {
    name: String,
    namespace: String,
    version: String,
    description: Option<String>,
    failure_policy: FailurePolicy,
    steps: Vec<StepTemplate>,
    problems: Problems,
}

/// A step that was added to a builder, to depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRef {
    name: String,
}

/// A step just added, whose details can still be said.
#[derive(Debug)]
pub struct StepBuilder<'a> {
    builder: &'a mut TemplateBuilder,
    index: usize,
}

impl TemplateBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            namespace: "default".into(),
            version: "1.0.0".into(),
            description: None,
            failure_policy: FailurePolicy::default(),
            steps: Vec::new(),
            problems: Problems::default(),
        }
    }

    /// The namespace. Default: `default`.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The version. Default: `1.0.0`.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// What the template says of itself.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// What the failure of one step means for the others. Default: [`FailurePolicy::Continue`].
    #[must_use]
    pub fn failure_policy(mut self, policy: FailurePolicy) -> Self {
        self.failure_policy = policy;
        self
    }

    /// Adds a step that is run by the handler `callable`. Details follow on what is returned, which turns
    /// into a [`StepRef`] for later steps to depend on:
    ///
    /// ```
    /// # use postroom::orchestration::template::TaskTemplate;
    /// # use std::time::Duration;
    /// let mut report = TaskTemplate::builder("report").version("1.0.0");
    /// let fetch = report.step("fetch", "http.get").timeout(Duration::from_secs(30)).add();
    /// report.step("render", "render").after([&fetch]);
    /// let report = report.build()?;
    /// assert_eq!(report.graph().parents(1), [0]);
    /// # Ok::<(), postroom::orchestration::template::TemplateErrors>(())
    /// ```
    pub fn step(
        &mut self,
        name: impl Into<String>,
        callable: impl Into<String>,
    ) -> StepBuilder<'_> {
        let callable = callable.into();
        self.steps.push(StepTemplate {
            name: name.into(),
            description: None,
            initialization: json!({}),
            dependencies: Vec::new(),
            retry: RetryPolicy::default_for(&callable),
            callable,
            timeout: None,
            place: None,
        });
        StepBuilder {
            index: self.steps.len() - 1,
            builder: self,
        }
    }

    /// Validates the template.
    ///
    /// # Errors
    ///
    /// [`TemplateErrors`]: all that is wrong with it.
    pub fn build(self) -> Result<TaskTemplate, TemplateErrors> {
        let mut problems = self.problems;
        if self.steps.is_empty() {
            problems.push(Problem::NoSteps, None);
        }
        let without_place = |value| Some(Located { value, place: None });
        Draft {
            name: without_place(self.name),
            namespace: without_place(self.namespace),
            version: without_place(self.version),
            description: self.description,
            failure_policy: self.failure_policy,
            steps: self.steps.into_iter().map(Declared::from).collect(),
            place: None,
            problems,
        }
        .validate()
    }
}

impl StepBuilder<'_> {
    fn step(&mut self) -> &mut StepTemplate {
        &mut self.builder.steps[self.index]
    }

    /// The step runs after these.
    pub fn after<'r>(mut self, steps: impl IntoIterator<Item = &'r StepRef>) -> Self {
        let names = steps.into_iter().map(|step| step.name.clone());
        self.step().dependencies.extend(names);
        self
    }

    /// The handler's settings: something that is a JSON object when serialised.
    pub fn with(mut self, settings: impl Serialize) -> Self {
        let problem = match serde_json::to_value(settings) {
            Ok(settings @ Value::Object(_)) => {
                self.step().initialization = settings;
                return self;
            }
            Ok(_) => "must be a map".to_owned(),
            Err(error) => error.to_string(),
        };
        let within = format!("the handler of step {:?}", self.step().name);
        let problem = Problem::BadValue {
            key: "initialization",
            within,
            problem,
        };
        self.builder.problems.push(problem, None);
        self
    }

    /// When a failed attempt is repeated.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.step().retry = policy;
        self
    }

    /// How long one attempt may take; rounded to milliseconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        let whole = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.step().timeout = Some(Duration::from_millis(whole));
        self
    }

    /// What the step says of itself.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.step().description = Some(description.into());
        self
    }

    /// The step, for others to depend on.
    pub fn add(self) -> StepRef {
        StepRef {
            name: self.builder.steps[self.index].name.clone(),
        }
    }
}
