//! The one error type of this crate: what is wrong, where, and what to do about it.

use std::path::{Path, PathBuf};

use isograd_comm::CommError;
use isograd_ops::device::DeviceError;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong between a config file and a trained model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A config file, or a `--set` override, is wrong.
    #[error("{place}: {message}")]
    Config {
        /// File, and the key or line in it.
        place: String,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A structure file is wrong, or cannot be read.
    #[error(transparent)]
    Data(#[from] isograd_data::Error),
    /// A data source as a whole cannot be trained on.
    #[error("data source `{name}`: {message}")]
    Source {
        /// The source's name in the config.
        name: String,
        /// What is wrong and the remedy.
        message: String,
    },
    /// A structure does not fit what is asked of it.
    #[error("{0}")]
    Structure(String),
    /// A run directory or snapshot cannot be used.
    #[error("{path}: {message}", path = path.display())]
    Run {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong and the remedy.
        message: String,
    },
    /// The operating system refused a file operation.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried: `read`, `write`, ...
        action: &'static str,
        /// The system's own words.
        source: std::io::Error,
    },
    /// The requested device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Ranks cannot go on together.
    #[error(transparent)]
    Ranks(#[from] CommError),
    /// Training went wrong although the input looked right.
    #[error("{0}")]
    Diverged(String),
    /// A device has no memory left.
    #[error("out of memory: {0}")]
    Memory(String),
    /// A model is not what it should be.
    #[error("the check failed: {0}")]
    Check(String),
    /// A broken invariant of this program.
    #[error("internal error: {0}; this is likely a bug in isograd, please report it")]
    Internal(String),
}

impl Error {
    /// Whether the user's input is to blame (exit code 2), rather than the work (exit code 1).
    pub fn is_input(&self) -> bool {
        match self {
            Self::Config { .. } | Self::Source { .. } | Self::Structure(_) | Self::Run { .. } | Self::Device(_) => true,
            Self::Data(error) => error.is_input(),
            Self::Io { source, .. } => isograd_data::Error::blames_path(source),
            Self::Ranks(error) => error.is_input(),
            Self::Diverged(_) | Self::Memory(_) | Self::Check(_) | Self::Internal(_) => false,
        }
    }

    /// Turns an I/O error into one that names the path and the action.
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, action, source }
    }

    /// No model can be made of a key of `[model]`.
    pub(crate) fn model(invalid: isograd_models::Invalid) -> Self {
        let isograd_models::Invalid { key, message } = invalid;
        let place = if key.is_empty() { "model".into() } else { format!("model.{key}") };
        Self::Config { place, message }
    }

    /// An error about a run directory or snapshot.
    pub fn run(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Self::Run { path: path.as_ref().to_owned(), message: message.into() }
    }
}

impl From<isograd_engine::Error> for Error {
    fn from(error: isograd_engine::Error) -> Self {
        match error {
            isograd_engine::Error::Ranks(error) => Self::Ranks(error),
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<isograd_tasks::Error> for Error {
    fn from(error: isograd_tasks::Error) -> Self {
        Self::Structure(error.to_string())
    }
}

impl From<isograd_structure::Error> for Error {
    fn from(error: isograd_structure::Error) -> Self {
        Self::Structure(error.to_string())
    }
}
