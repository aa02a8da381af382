//! `report.html`: one self-contained page that shows a run to a colleague.

mod page;
mod plots;
mod ranks;

use crate::Result;
use crate::run::{LogLine, Summary};
use crate::train::{PotentialInfo, SourceReport, Tally};

/// What the page is made of.
pub struct Report<'a> {
    /// Name of the run.
    pub name: &'a str,
    /// The outcome.
    pub summary: &'a Summary,
    /// The course.
    pub lines: &'a [LogLine],
    /// The data.
    pub sources: &'a [SourceReport],
    /// What the user was warned of.
    pub warnings: &'a [String],
    /// Predictions of the best weights on the validation set.
    pub tally: &'a Tally,
    /// What the equivariance harness found.
    pub equivariance: &'a isograd_equivariance::Report,
    /// The potential.
    pub info: &'a PotentialInfo,
    /// The resolved config.
    pub config: &'a str,
}

/// The page as HTML.
///
/// # Errors
/// [`crate::Error::Internal`] if a plot cannot be drawn.
pub fn render(report: &Report<'_>) -> Result<String> {
    page::render(report)
}
