//! The one error type of this crate: why a structure has no neighbour list.

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why neighbours of a structure cannot be searched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The cutoff is zero, negative, NaN or infinite.
    #[error("the cutoff must be a positive number of angstrom, not {0}")]
    Cutoff(f64),
    /// A position cannot be one of an atom.
    #[error("a position is NaN, infinite or beyond 1e9 angstrom")]
    Position,
    /// The lattice vectors of the periodic directions do not span them.
    #[error("the lattice vectors of the periodic directions are missing or lie in one plane")]
    Flat,
    /// An atom cannot be moved into its cell without losing its place in it to rounding.
    #[error("an atom is more than a million lattice vectors outside its cell")]
    Outside,
    /// The search would not end.
    #[error(
        "the cell is so thin ({} angstrom between its faces) that a cutoff of {cutoff} angstrom reaches over \
         more than a million of its images",
        heights.map(|height| format!("{height:.3}")).join(", ")
    )]
    Thin {
        /// Distances between opposite faces of the cell, in angstrom.
        heights: [f64; 3],
        /// The cutoff, in angstrom.
        cutoff: f64,
    },
}
