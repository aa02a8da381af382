//! Two sides of a question, and how far they are apart.

/// The largest absolute value; infinite if one is not a number.
pub(crate) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| if value.is_finite() { f64::max(most, value.abs()) } else { f64::INFINITY })
}

/// Two sides that should be equal, and by how much they may differ without being wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Comparison {
    pub(crate) found: Vec<f64>,
    pub(crate) expected: Vec<f64>,
    /// Absolute error of the method itself, as of a numeric derivative.
    pub(crate) slack: f64,
    /// What rounding the outputs alone does to the two sides, absolute. A jitter of the inputs need
    /// not show it where small differences of large outputs are taken.
    pub(crate) rounding: f64,
    /// What the errors of single evaluations are multiplied by on the way to the two sides.
    pub(crate) gain: f64,
}

impl Comparison {
    /// Differences of the two sides; `None` if they have different lengths.
    pub(crate) fn errors(&self) -> Option<Vec<f64>> {
        (self.found.len() == self.expected.len())
            .then(|| self.found.iter().zip(&self.expected).map(|(a, b)| a - b).collect())
    }
}
