//! `report.html`: one self-contained page that shows a run to a colleague; others of what an audit found in data, of runs beside
//! each other, and of how predicted spreads compare with errors.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod audit;
mod calibration;
mod compare;
mod compare_page;
mod curves;
mod document;
mod format;
mod page;
mod plots;
mod ranks;

use std::collections::BTreeMap;

pub use compare::{Cell, ComparedRun, Comparison, Difference, Row};
use isograd_data::audit::Audit;
use isograd_tasks::Calibration;
use isograd_train::run::{LogLine, MetricsLog, Summary};
use isograd_train::{Details, Finished};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A plot cannot be drawn.
    #[error("drawing a plot: {0}")]
    Plot(String),
    /// The run cannot be read, or the page cannot be written.
    #[error(transparent)]
    Run(#[from] isograd_train::Error),
}

impl From<Error> for isograd_train::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Run(error) => error,
            Error::Plot(_) => Self::Internal(error.to_string()),
        }
    }
}

/// What the page is made of.
pub struct Report<'a> {
    /// Name of the run.
    pub name: &'a str,
    /// The outcome.
    pub summary: &'a Summary,
    /// The course.
    pub lines: &'a [LogLine],
    /// Everything else that the first rank knows.
    pub details: &'a Details,
}

/// The page as HTML.
///
/// # Errors
/// [`Error::Plot`].
pub fn render(report: &Report<'_>) -> Result<String> {
    page::render(report)
}

/// A page of what an audit found in data called `name`.
///
/// # Errors
/// [`Error::Plot`].
pub fn render_audit(name: &str, audit: &Audit) -> Result<String> {
    audit::render(name, audit)
}

/// A page of runs beside each other.
///
/// # Errors
/// [`Error::Plot`].
pub fn render_comparison(comparison: &Comparison) -> Result<String> {
    compare_page::render(comparison)
}

/// A page of how predicted spreads compare with errors, by the names of targets; `subtitle` says of what.
///
/// # Errors
/// [`Error::Plot`].
pub fn render_calibration(subtitle: &str, targets: &BTreeMap<String, Calibration>) -> Result<String> {
    calibration::render(subtitle, targets)
}

/// Writes `report.html` into the directory of a finished run; nothing on ranks other than the first.
///
/// # Errors
/// [`Error::Plot`], or [`Error::Run`] where the log cannot be read or the page cannot be written.
pub fn write(finished: &Finished) -> Result<()> {
    let Finished { run, summary, details: Some(details) } = finished else { return Ok(()) };
    let lines = MetricsLog::read(&run.metrics_file())?;
    let page = render(&Report { name: &run.name(), summary, lines: &lines, details })?;
    Ok(run.write("report.html", page.as_bytes())?)
}
