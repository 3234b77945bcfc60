//! The task's input: JSON on the command line or in a file.

use std::fs;

use serde_json::Value;

use crate::exit::Failure;

pub(crate) fn read(given: Option<&str>) -> Result<Value, Failure> {
    let Some(given) = given else {
        return Ok(Value::Null);
    };
    let Some(path) = given.strip_prefix('@') else {
        return serde_json::from_str(given).map_err(|error| {
            Failure::usage(format!("--input is not JSON: {error}"))
                .advise("Text needs quotes of its own, as in --input '\"text\"'; --input @FILE reads a file.")
        });
    };
    let bytes = fs::read(path)
        .map_err(|error| Failure::usage(format!("--input: cannot read {path}: {error}")))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::usage(format!("--input: {path} is not JSON: {error}")))
}
