//! One step of a template.

use std::time::Duration;

use serde_json::Value;

use super::errors::Place;
use super::retry::RetryPolicy;

/// One step of a template. Made by reading a document or by the builder.
#[derive(Debug, Clone)]
pub struct StepTemplate {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) callable: String,
    pub(super) initialization: Value,
    pub(super) dependencies: Vec<String>,
    pub(super) retry: RetryPolicy,
    pub(super) timeout: Option<Duration>,
    pub(super) place: Option<Place>,
}

impl StepTemplate {
    /// Its name, unique in the template.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says of itself.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The handler that runs it.
    pub fn callable(&self) -> &str {
        &self.callable
    }

    /// The handler's settings: a JSON object.
    pub fn initialization(&self) -> &Value {
        &self.initialization
    }

    /// Names of the steps that come before it.
    pub fn dependencies(&self) -> &[String] {
        &self.dependencies
    }

    /// When a failed attempt is repeated.
    pub fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// How long one attempt may take; `None`: as long as it likes.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

/// Where a step was declared makes no difference.
impl PartialEq for StepTemplate {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            name,
            description,
            callable,
            initialization,
            dependencies,
            retry,
            timeout,
            place: _,
        } = self;
        *name == other.name
            && *description == other.description
            && *callable == other.callable
            && *initialization == other.initialization
            && *dependencies == other.dependencies
            && *retry == other.retry
            && *timeout == other.timeout
    }
}
