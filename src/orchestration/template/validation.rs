//! The rules that hold for a template however it was made.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::canonical::Kept;
use super::compose::MAX_DEPTH;
use super::document::{Located, too_deep};
use super::errors::{Place, Problem, Problems, TemplateErrors, closest, short};
use super::graph::Graph;
use super::retry::RetryPolicy;
use super::step::StepTemplate;
use super::{MAX_DOCUMENT_BYTES, MAX_NAME_BYTES, MAX_STEPS, MAX_TIMEOUT, TaskTemplate};
use crate::orchestration::state::FailurePolicy;

/// How deep a handler's settings may be: they lie within five lists and maps of the document.
const MAX_SETTINGS_DEPTH: usize = MAX_DEPTH - 4;
/// A suggestion compares a name with every other. That is for people, who read the first few.
const MAX_SUGGESTIONS: usize = 20;

/// A template as it was declared, not yet found sound.
pub(super) struct Draft {
    /// `None`, like that of other fields: it is missing, which was reported.
    pub(super) name: Option<Located<String>>,
    pub(super) namespace: Option<Located<String>>,
    pub(super) version: Option<Located<String>>,
    pub(super) description: Option<String>,
    pub(super) failure_policy: FailurePolicy,
    pub(super) steps: Vec<Declared>,
    /// Where the steps begin.
    pub(super) place: Option<Place>,
    /// What was found wrong before.
    pub(super) problems: Problems,
}

/// A step, and where its parts stand.
pub(super) struct Declared {
    pub(super) step: StepTemplate,
    /// Whether its handler is missing, which was reported. Others can depend on it all the same.
    pub(super) incomplete: bool,
    pub(super) callable: Option<Place>,
    pub(super) timeout: Option<Place>,
    /// Of `max_attempts`, `backoff_base_ms` and `max_backoff_ms`.
    pub(super) retry: [Option<Place>; 3],
    /// Of each dependency.
    pub(super) dependencies: Vec<Option<Place>>,
}

impl From<StepTemplate> for Declared {
    fn from(step: StepTemplate) -> Self {
        Self {
            dependencies: vec![None; step.dependencies.len()],
            step,
            incomplete: false,
            callable: None,
            timeout: None,
            retry: [None; 3],
        }
    }
}

impl Draft {
    pub(super) fn validate(mut self) -> Result<TaskTemplate, TemplateErrors> {
        let problems = &mut self.problems;
        for (name, within) in [
            (&self.name, "the template"),
            (&self.namespace, "the namespace"),
        ] {
            if let Some(name) = name {
                check_name(&name.value, within, name.place, problems);
            }
        }
        if let Some(version) = self.version.as_ref().filter(|it| !is_version(&it.value)) {
            let text = short(&version.value);
            problems.push(Problem::BadVersion { version: text }, version.place);
        }
        let count = self.steps.len();
        if count > MAX_STEPS {
            problems.push(Problem::TooManySteps { count }, self.place);
        }
        for declared in &self.steps {
            check_step(declared, problems);
        }
        let graph = connect(&self.steps, problems);
        let (Some(graph), true) = (graph, self.problems.is_empty()) else {
            return Err(TemplateErrors::new(self.problems));
        };
        let text = |found: Option<Located<String>>| found.map(|it| it.value).unwrap_or_default();
        let template = TaskTemplate {
            name: text(self.name),
            namespace: text(self.namespace),
            version: text(self.version),
            description: self.description,
            failure_policy: self.failure_policy,
            steps: self.steps.into_iter().map(|it| it.step).collect(),
            graph,
            file: None,
            canonical: Kept::default(),
        };
        // What is stored is the canonical form, and it must be possible to read that again.
        if template.canonical().len() > MAX_DOCUMENT_BYTES {
            self.problems.push(Problem::TooLarge, None);
            return Err(TemplateErrors::new(self.problems));
        }
        Ok(template)
    }
}

fn check_name(name: &str, within: &str, place: Option<Place>, problems: &mut Problems) {
    let is_bad = name.is_empty()
        || name.len() > MAX_NAME_BYTES
        || name.trim().len() != name.len()
        || name.chars().any(char::is_control);
    if is_bad {
        let within = within.to_owned();
        problems.push(Problem::BadName { within }, place);
    }
}

fn check_step(declared: &Declared, problems: &mut Problems) {
    let step = &declared.step;
    let within = format!("step {:?}", short(&step.name));
    check_name(&step.name, "a step", step.place, problems);
    if !declared.incomplete {
        let handler = format!("the handler of {within}");
        check_name(
            &step.callable,
            &handler,
            declared.callable.or(step.place),
            problems,
        );
        if too_deep(&step.initialization, MAX_SETTINGS_DEPTH) {
            let problem = Problem::BadValue {
                key: "initialization",
                within: handler,
                problem: format!(
                    "has more than {MAX_SETTINGS_DEPTH} lists and maps within one another"
                ),
            };
            problems.push(problem, step.place);
        }
    }
    check_retry(declared, &within, problems);
    if step
        .timeout
        .is_some_and(|timeout| timeout < Duration::from_millis(1) || timeout > MAX_TIMEOUT)
    {
        let problem = Problem::BadValue {
            key: "timeout_seconds",
            within,
            problem: format!("must be from 0.001 to {}", MAX_TIMEOUT.as_secs()),
        };
        problems.push(problem, declared.timeout.or(step.place));
    }
}

fn check_retry(declared: &Declared, within: &str, problems: &mut Problems) {
    let retry = &declared.step.retry;
    let [attempts, base, max] = declared.retry;
    let mut bad = |key, problem: String, place: Option<Place>| {
        let within = format!("the retry policy of {within}");
        let problem = Problem::BadValue {
            key,
            within,
            problem,
        };
        problems.push(problem, place.or(declared.step.place));
    };
    if !(1..=RetryPolicy::MAX_ATTEMPTS).contains(&retry.max_attempts) {
        let problem = format!("must be from 1 to {}", RetryPolicy::MAX_ATTEMPTS);
        bad("max_attempts", problem, attempts);
    }
    if retry.max_backoff_ms > RetryPolicy::MAX_BACKOFF_MS {
        let problem = format!("must be at most {} (30 days)", RetryPolicy::MAX_BACKOFF_MS);
        bad("max_backoff_ms", problem, max);
    }
    if retry.backoff_base_ms > retry.max_backoff_ms {
        let problem = format!(
            "must be at most `max_backoff_ms` ({})",
            retry.max_backoff_ms
        );
        bad("backoff_base_ms", problem, base);
    }
}

/// Resolves names to positions; `None` if there is a cycle.
fn connect(steps: &[Declared], problems: &mut Problems) -> Option<Graph> {
    let mut positions = HashMap::with_capacity(steps.len());
    for (position, Declared { step, .. }) in steps.iter().enumerate() {
        match positions.entry(step.name.as_str()) {
            Entry::Vacant(entry) => {
                entry.insert(position);
            }
            Entry::Occupied(_) => {
                let name = short(&step.name);
                problems.push(Problem::DuplicateStep { step: name }, step.place);
            }
        }
    }
    let mut suggestions = 0;
    let mut parents = Vec::with_capacity(steps.len());
    for declared in steps {
        let name = &declared.step.name;
        let mut named = HashSet::new();
        let mut its_parents = Vec::with_capacity(declared.dependencies.len());
        for (dependency, &place) in declared
            .step
            .dependencies
            .iter()
            .zip(&declared.dependencies)
        {
            let step = short(name);
            let problem = match positions.get(dependency.as_str()) {
                Some(_) if dependency == name => Problem::SelfDependency { step },
                Some(_) if !named.insert(dependency) => Problem::DuplicateDependency {
                    step,
                    dependency: short(dependency),
                },
                Some(&position) => {
                    its_parents.push(position);
                    continue;
                }
                None => {
                    suggestions += 1;
                    let others = steps.iter().map(|other| other.step.name.as_str());
                    Problem::UnknownDependency {
                        step,
                        dependency: short(dependency),
                        suggestion: (suggestions <= MAX_SUGGESTIONS)
                            .then(|| closest(dependency, others.filter(|other| other != name)))
                            .flatten(),
                    }
                }
            };
            problems.push(problem, place.or(declared.step.place));
        }
        parents.push(its_parents);
    }
    Graph::new(parents)
        .map_err(|cycles| {
            for cycle in cycles {
                let place = cycle.first().and_then(|&step| steps[step].step.place);
                let path = cycle.iter().map(|&step| short(&steps[step].step.name));
                let path = path.collect();
                problems.push(Problem::Cycle { path }, place);
            }
        })
        .ok()
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
