//! `metrics.jsonl`: one JSON object per line and log event.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use isograd_tasks::{BySource, Metrics};
use serde::{Deserialize, Serialize};

use super::atomic;
use crate::{Error, Result};

/// One line of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogLine {
    /// Steps made.
    pub step: usize,
    /// Epochs begun and, as a fraction, how far the last one is.
    pub epoch: f64,
    /// Seconds trained.
    pub seconds: f64,
    /// Mean loss since the line before, or that line's if it is of the same step.
    pub loss: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Norm of the last gradient before clipping.
    pub gradient_norm: f64,
    /// Edges per second since the line before.
    pub edges_per_second: f64,
    /// Atoms per second since the line before.
    pub atoms_per_second: f64,
    /// Most bytes held so far.
    pub peak_bytes: Option<u64>,
    /// Errors on the validation set: averaged weights, or the raw ones where there is no average.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub validation: Option<Metrics>,
    /// The same on the structures of each source, where there are several.
    #[serde(skip_serializing_if = "BySource::is_empty", default)]
    pub validation_by_source: BySource,
    /// Errors of the raw weights, where there is an average.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub validation_raw: Option<Metrics>,
}

/// The open log.
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens the log for appending, after dropping lines later than `step` (those that a killed run
    /// wrote after its last snapshot) and a last line that is cut.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path, step: usize) -> Result<Self> {
        if path.exists() {
            let mut kept = Vec::new();
            for line in Self::read(path)?.into_iter().filter(|line| line.step <= step) {
                append(&mut kept, &line)?;
            }
            atomic::write_file(path, &kept)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path, "write"))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn push(&mut self, line: &LogLine) -> Result<()> {
        let mut bytes = Vec::new();
        append(&mut bytes, line)?;
        self.file.write_all(&bytes).map_err(Error::io(&self.path, "write"))
    }

    /// All whole lines of a log.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(path: &Path) -> Result<Vec<LogLine>> {
        let file = fs::File::open(path).map_err(Error::io(path, "read"))?;
        let mut lines = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line.map_err(Error::io(path, "read"))?;
            if let Ok(line) = serde_json::from_str(&line) {
                lines.push(line);
            }
        }
        Ok(lines)
    }
}

fn append(bytes: &mut Vec<u8>, line: &LogLine) -> Result<()> {
    serde_json::to_writer(&mut *bytes, line).map_err(|error| Error::Internal(error.to_string()))?;
    bytes.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: usize) -> LogLine {
        LogLine {
            step,
            epoch: 0.1,
            seconds: 1.0,
            loss: 0.1 + 0.2,
            learning_rate: 1e-3,
            gradient_norm: 1.0,
            edges_per_second: 1.0,
            atoms_per_second: 1.0,
            peak_bytes: None,
            validation: None,
            validation_by_source: BySource::default(),
            validation_raw: None,
        }
    }

    #[test]
    fn opening_at_a_step_drops_what_came_later_and_what_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 0).unwrap();
        for step in 1..=4 {
            log.push(&line(step)).unwrap();
        }
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"step\":5,").unwrap();
        MetricsLog::open(&path, 2).unwrap().push(&line(3)).unwrap();
        let lines = MetricsLog::read(&path).unwrap();
        assert_eq!(lines.iter().map(|line| line.step).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(lines[0].loss, 0.1 + 0.2);
    }
}
