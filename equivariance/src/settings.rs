//! How thorough a check is, and what passes.

use crate::Description;
use crate::case::Case;
use crate::property::Property;

/// How a battery runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Cases per property. Default 100.
    pub cases: usize,
    /// Decides all cases. Default 0.
    pub seed: u64,
    /// Most systems that are evaluated in one call. Default 64.
    pub batch: usize,
    /// Errors up to so many noise floors pass. Default 8.
    pub tolerance: f64,
    /// Only properties whose name contains this.
    pub only: Option<String>,
    /// Only the case with this seed, as a report names it; needs `only`.
    pub case: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cases: 100, seed: 0, batch: 64, tolerance: 8.0, only: None, case: None }
    }
}

/// What passes, relative to the output's scale.
pub(crate) fn tolerance(description: &Description, settings: &Settings, case: &Case, noise: f64) -> f64 {
    let limit = description.precision.limit() * Property::allowance(&case.question);
    (settings.tolerance * noise).min(limit)
}
