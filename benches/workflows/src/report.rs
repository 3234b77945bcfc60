//! Medians, and the table.

use serde_json::Value;

pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share) as usize).copied().unwrap_or(f64::NAN)
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

/// Every number with its name.
pub(crate) fn print(result: &Value) {
    fn walk(name: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                    walk(&name, value);
                }
            }
            Value::Number(number) => {
                println!("{name:<44} {:>12.2}", number.as_f64().unwrap_or(f64::NAN));
            }
            other => println!("{name:<44} {:>12}", other.to_string()),
        }
    }
    walk("", result);
}
