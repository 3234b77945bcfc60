//! What a template says about a shell step.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// `handler.initialization` of a shell step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// Run by `sh -c`.
    pub(super) command: String,
    #[serde(default)]
    pub(super) output: Output,
    /// Added to the environment of this process.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// Where it runs; the current folder of this process if not given.
    pub(super) directory: Option<PathBuf>,
}

/// How standard output becomes the step's result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Output {
    /// A string, without one trailing line break.
    #[default]
    Text,
    /// The JSON value that it is.
    Json,
}

impl Config {
    /// Refuses what the operating system would refuse at run time, or what would undo the marks.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.command.trim().is_empty() {
            return Err("`command` is empty".to_owned());
        }
        if self.command.contains('\0') {
            return Err("`command` contains a NUL character".to_owned());
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(format!("`env`: {name:?} cannot be set"));
            }
            if name.starts_with("POSTROOM_") {
                return Err(format!("`env`: {name} is set by postroom itself"));
            }
        }
        Ok(())
    }
}
