//! What actors cost: postroom, hand-written channels, and other actor libraries, measured alike.

#[cfg(feature = "comparison")]
pub mod compare;
#[cfg(feature = "comparison")]
pub mod counts;
#[cfg(feature = "comparison")]
pub mod entry;
#[cfg(feature = "comparison")]
pub mod latency;
pub mod libraries;
pub mod library;
pub mod loads;
pub mod runtimes;
#[cfg(feature = "comparison")]
pub mod scale;
#[cfg(feature = "comparison")]
pub mod stats;
pub mod work;

/// Writes figures to a file, if there is to be one.
pub fn save(path: Option<&std::path::Path>, figures: &serde_json::Value) -> Result<(), String> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, format!("{figures:#}\n"))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}
