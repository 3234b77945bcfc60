//! JSON on the command line or in a file.

use std::fs;

use serde_json::Value;

use crate::exit::Failure;

/// The task's input.
pub(crate) fn read(given: Option<&str>) -> Result<Value, Failure> {
    read_option("--input", given)
}

/// What an option gives, as JSON; `null` if it is not there.
pub(crate) fn read_option(option: &str, given: Option<&str>) -> Result<Value, Failure> {
    let Some(given) = given else {
        return Ok(Value::Null);
    };
    let Some(path) = given.strip_prefix('@') else {
        return serde_json::from_str(given).map_err(|error| {
            Failure::usage(format!("{option} is not JSON: {error}")).advise(format!(
                "Text needs quotes of its own, as in {option} '\"text\"'; {option} @FILE reads a file."
            ))
        });
    };
    let bytes = fs::read(path)
        .map_err(|error| Failure::usage(format!("{option}: cannot read {path}: {error}")))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::usage(format!("{option}: {path} is not JSON: {error}")))
}
