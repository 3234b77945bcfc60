//! The rules that hold for a template however it was made.

use std::collections::{HashMap, HashSet};

use super::errors::{Place, Problem, TemplateError, TemplateErrors, closest};
use super::graph::Graph;
use super::step::StepTemplate;
use super::{MAX_NAME_BYTES, MAX_STEPS, TaskTemplate};
use crate::orchestration::template::RetryPolicy;

/// A template as it was declared, not yet found sound.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) version: String,
    pub(super) description: Option<String>,
    pub(super) steps: Vec<StepTemplate>,
    /// Where name, namespace and version stand.
    pub(super) places: [Option<Place>; 3],
    /// What was found wrong before.
    pub(super) errors: Vec<TemplateError>,
}

impl Draft {
    pub(super) fn validate(mut self) -> Result<TaskTemplate, TemplateErrors> {
        let [name, namespace, version] = self.places;
        self.check_name(&self.name.clone(), "the template", name);
        self.check_name(&self.namespace.clone(), "the namespace", namespace);
        if !is_version(&self.version) {
            let version_text = self.version.clone();
            self.report(
                Problem::BadVersion {
                    version: version_text,
                },
                version,
            );
        }
        if self.steps.len() > MAX_STEPS {
            self.report(
                Problem::TooManySteps {
                    count: self.steps.len(),
                },
                None,
            );
        }
        for step in std::mem::take(&mut self.steps) {
            self.check_step(&step);
            self.steps.push(step);
        }
        let graph = self.connect();
        match graph {
            Some(graph) if self.errors.is_empty() => Ok(TaskTemplate {
                name: self.name,
                namespace: self.namespace,
                version: self.version,
                description: self.description,
                steps: self.steps,
                graph,
                file: None,
            }),
            _ => Err(TemplateErrors::new(self.errors)),
        }
    }

    fn report(&mut self, problem: Problem, place: Option<Place>) {
        self.errors.push(TemplateError::new(problem, place));
    }

    fn check_name(&mut self, name: &str, within: &str, place: Option<Place>) {
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            self.report(
                Problem::BadName {
                    within: within.to_owned(),
                },
                place,
            );
        }
    }

    fn check_step(&mut self, step: &StepTemplate) {
        let within = format!("step {:?}", step.name);
        self.check_name(&step.name, "a step", step.place);
        self.check_name(
            &step.callable,
            &format!("the handler of {within}"),
            step.place,
        );
        let retry = &step.retry;
        let mut bad = |key, problem: String| {
            let within = format!("the retry policy of {within}");
            self.report(
                Problem::BadValue {
                    key,
                    within,
                    problem,
                },
                step.place,
            );
        };
        if !(1..=RetryPolicy::MAX_ATTEMPTS).contains(&retry.max_attempts) {
            bad(
                "max_attempts",
                format!("must be from 1 to {}", RetryPolicy::MAX_ATTEMPTS),
            );
        }
        if retry.max_backoff_ms > RetryPolicy::MAX_BACKOFF_MS {
            bad(
                "max_backoff_ms",
                format!("must be at most {} (30 days)", RetryPolicy::MAX_BACKOFF_MS),
            );
        }
        if retry.backoff_base_ms > retry.max_backoff_ms {
            bad(
                "backoff_base_ms",
                format!(
                    "must be at most `max_backoff_ms` ({})",
                    retry.max_backoff_ms
                ),
            );
        }
        if step.timeout.is_some_and(|timeout| timeout.is_zero()) {
            self.report(
                Problem::BadValue {
                    key: "timeout_seconds",
                    within,
                    problem: "must be at least 0.001".into(),
                },
                step.place,
            );
        }
    }

    /// Resolves names to positions; `None` if they cannot be.
    fn connect(&mut self) -> Option<Graph> {
        let mut errors = Vec::new();
        let mut positions = HashMap::with_capacity(self.steps.len());
        for (position, step) in self.steps.iter().enumerate() {
            if positions.insert(step.name.as_str(), position).is_some() {
                let problem = Problem::DuplicateStep {
                    step: step.name.clone(),
                };
                errors.push(TemplateError::new(problem, step.place));
            }
        }
        let mut parents = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let mut named = HashSet::new();
            let mut its_parents = Vec::with_capacity(step.dependencies.len());
            for dependency in &step.dependencies {
                let problem = match positions.get(dependency.as_str()) {
                    Some(_) if !named.insert(dependency) => Problem::DuplicateDependency {
                        step: step.name.clone(),
                        dependency: dependency.clone(),
                    },
                    Some(&position) => {
                        its_parents.push(position);
                        continue;
                    }
                    None => Problem::UnknownDependency {
                        step: step.name.clone(),
                        // Comparing with every name is for people, who read the first few.
                        suggestion: (errors.len() < 20)
                            .then(|| closest(dependency, positions.keys().copied()))
                            .flatten(),
                        dependency: dependency.clone(),
                    },
                };
                errors.push(TemplateError::new(problem, step.place));
            }
            parents.push(its_parents);
        }
        let graph = if errors.is_empty() {
            Graph::new(parents)
                .map_err(|cycle| {
                    let place = cycle.first().and_then(|&step| self.steps[step].place);
                    let path = cycle.iter().map(|&step| self.steps[step].name.clone());
                    let problem = Problem::Cycle {
                        path: path.collect(),
                    };
                    errors.push(TemplateError::new(problem, place));
                })
                .ok()
        } else {
            None
        };
        self.errors.append(&mut errors);
        graph
    }
}

/// Three numbers without leading zeros, as in Semantic Versioning 2.0.0 without its extensions.
fn is_version(version: &str) -> bool {
    let mut parts = version.split('.');
    let is_number = |part: &str| {
        !part.is_empty()
            && part.len() <= 9
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    (0..3).all(|_| parts.next().is_some_and(is_number)) && parts.next().is_none()
}
