//! Medians, and the table.

use serde_json::{Value, json};

pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values
        .get((last as f64 * share) as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

pub(crate) fn spread(values: &mut [f64]) -> Value {
    json!({ "p50": rounded(percentile(values, 0.5)), "p99": rounded(percentile(values, 0.99)) })
}

/// To three decimals.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// Every number with its name.
pub(crate) fn print(name: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                print(&format!("{name}.{field}"), value);
            }
        }
        other => println!("{name:<64} {other}"),
    }
}
