//! Reports kept to compare later ones with: an error that has grown is found while it still passes.

use std::path::Path;

use super::Report;

/// A row that is worse than in the baseline.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Regression {
    /// As in [`Row`](super::Row).
    pub transformation: String,
    /// As in [`Row`](super::Row).
    pub output: String,
    /// Largest error in the baseline, or its noise floor if that is larger.
    pub before: f64,
    /// Largest error now; `None` if the row is missing now.
    pub now: Option<f64>,
}

impl std::fmt::Display for Regression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}: ", self.transformation, self.output)?;
        match self.now {
            Some(now) => write!(f, "the error grew from {:.1e} to {now:.1e}", self.before),
            None => write!(f, "is in the baseline, but was not checked now"),
        }
    }
}

/// A baseline that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no report.
    #[error("{path}: is not a report of an equivariance check: {source}")]
    Format {
        /// The file.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
}

impl Report {
    /// Writes the report as JSON, to be a baseline: first beside the file, then in its place.
    ///
    /// # Errors
    /// [`BaselineError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), BaselineError> {
        let failed = |source| BaselineError::Io { path: path.display().to_string(), source };
        let temporary = path.with_extension("partial");
        std::fs::write(&temporary, self.to_json()).map_err(failed)?;
        std::fs::rename(&temporary, path).map_err(failed)
    }

    /// Reads a report that [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`BaselineError`].
    pub fn load(path: &Path) -> Result<Self, BaselineError> {
        let name = path.display().to_string();
        let text = std::fs::read(path).map_err(|source| BaselineError::Io { path: name.clone(), source })?;
        serde_json::from_slice(&text).map_err(|source| BaselineError::Format { path: name, source })
    }

    /// Rows whose largest error is more than `factor` times that of the baseline (or its noise floor,
    /// if that is larger), and rows of the baseline that are missing here.
    pub fn regressions(&self, baseline: &Self, factor: f64) -> Vec<Regression> {
        let worse = |old: &super::Row| {
            let before = old.maximum.max(old.noise_floor);
            let now = self.row(&old.transformation, &old.output).map(|row| row.maximum);
            let grown = now.is_none_or(|now| now > factor * before);
            let regression =
                || Regression { transformation: old.transformation.clone(), output: old.output.clone(), before, now };
            grown.then(regression)
        };
        baseline.rows.iter().filter_map(worse).collect()
    }
}
