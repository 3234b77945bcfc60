//! The little statistics that the tables need.

/// The middle value; of an even number the upper middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

pub fn geometric_mean(values: &[f64]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few dozen values")]
    let count = values.len() as f64;
    (values.iter().map(|value| value.ln()).sum::<f64>() / count).exp()
}

/// One figure of a library against the same figure of the baseline, paired by round.
pub struct Ratio {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Ratio {
    pub fn paired(values: &[f64], baseline: &[f64]) -> Self {
        let ratios: Vec<_> = values
            .iter()
            .zip(baseline)
            .map(|(value, base)| value / base)
            .collect();
        Self {
            median: median(&ratios),
            min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            max: ratios.iter().copied().fold(0.0, f64::max),
        }
    }
}

/// The value below which this part of a sorted list lies.
pub fn percentile(sorted: &[u32], part: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a list that is in memory"
    )]
    let at = (sorted.len() as f64 * part) as usize;
    f64::from(sorted[at.min(sorted.len() - 1)])
}

/// Nanoseconds for each of some operations.
pub fn nanos_each(took: std::time::Duration, operations: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let operations = operations as f64;
    took.as_secs_f64() * 1e9 / operations
}
