//! What actors cost: postroom, hand-written channels, and other actor libraries, measured alike.

pub mod compare;
pub mod counts;
pub mod entry;
pub mod instructions;
pub mod latency;
pub mod libraries;
pub mod library;
pub mod loads;
pub mod runtimes;
pub mod scale;
pub mod stats;
pub mod work;

/// Writes figures to a file, if there is to be one.
pub fn save(path: Option<&std::path::Path>, figures: &serde_json::Value) -> Result<(), String> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, format!("{figures:#}\n"))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}
