//! The one error type of this crate: which file is wrong, where in it, and what was expected.

use std::io;
use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong between a structure file and a batch.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A structure file is wrong.
    #[error("{file}{}: frame {frame}: {message}", at_line(*line))]
    Frame {
        /// The file.
        file: String,
        /// Line, counted from 1; 0 in a file without lines.
        line: usize,
        /// Frame, counted from 0 as ASE counts.
        frame: usize,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A structure has no neighbour list.
    #[error(transparent)]
    Structure(#[from] isograd_structure::Error),
    /// A path is not one of a structure file.
    #[error("{path}: {message}", path = path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong and what was expected.
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
        source: io::Error,
    },
    /// A broken invariant of this program.
    #[error("internal error: {0}; this is likely a bug in isograd, please report it")]
    Internal(String),
}

/// Where in a file a line is.
fn at_line(line: usize) -> String {
    if line == 0 { String::new() } else { format!(":{line}") }
}

impl Error {
    /// Whether the user's input is to blame, rather than the work.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Frame { .. } | Self::Structure(_) | Self::Path { .. } => true,
            Self::Io { source, .. } => Self::blames_path(source),
            Self::Internal(_) => false,
        }
    }

    /// Whether an I/O error says that the path was the wrong one.
    pub fn blames_path(error: &io::Error) -> bool {
        use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
        matches!(error.kind(), NotFound | PermissionDenied | ReadOnlyFilesystem | NotADirectory)
    }

    /// Turns what is wrong with a frame into an error that names its place; `line` is from 1, `frame` from 0.
    pub fn frame(file: impl Into<String>, line: usize, frame: usize) -> impl FnOnce(String) -> Self {
        let file = file.into();
        move |message| Self::Frame { file, line, frame, message }
    }

    /// Turns an I/O error into one that names the path and the action.
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, action, source }
    }
}
