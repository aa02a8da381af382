//! The log of a run in all forms that are asked for.

use super::columns::Columns;
use super::csv::CsvLog;
use super::events::EventLog;
use super::{LogLine, MetricsLog, RunDirectory};
use crate::Result;
use crate::config::LogFormat;

/// The open log: `metrics.jsonl`, and what is made of its lines.
pub struct Logs {
    metrics: MetricsLog,
    csv: Option<CsvLog>,
    events: Option<EventLog>,
}

impl Logs {
    /// Opens the log of a run that goes on after `step`, `seconds` of training into it: what is later is dropped in every
    /// form. Forms that the run has had so far go on, beside those in `formats`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn open(
        run: &RunDirectory,
        formats: &[LogFormat],
        columns: Columns,
        step: usize,
        seconds: f64,
    ) -> Result<Self> {
        let metrics = MetricsLog::open(&run.metrics_file(), step)?;
        let lines = MetricsLog::read(&run.metrics_file())?;
        let table = run.root().join("metrics.csv");
        let csv = formats.contains(&LogFormat::Csv) || table.exists();
        let csv = csv.then(|| CsvLog::open(&table, columns, &lines)).transpose()?;
        let events = formats.contains(&LogFormat::Tensorboard) || !EventLog::files(run.root())?.is_empty();
        let events = events.then(|| EventLog::open(run.root(), &lines, seconds)).transpose()?;
        Ok(Self { metrics, csv, events })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn push(&mut self, line: &LogLine) -> Result<()> {
        self.metrics.push(line)?;
        self.csv.as_mut().map_or(Ok(()), |csv| csv.push(line))?;
        self.events.as_mut().map_or(Ok(()), |events| events.push(line))
    }
}
