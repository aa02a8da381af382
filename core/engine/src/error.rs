//! The error type of this crate.

use isograd_comm::CommError;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a walk or an update cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Ranks cannot go on together.
    #[error(transparent)]
    Ranks(#[from] CommError),
    /// A broken invariant of this crate.
    #[error("internal error: {0}; this is likely a bug in isograd, please report it")]
    Internal(String),
}
