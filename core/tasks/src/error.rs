//! The error type of this crate.

/// Why a task cannot be done on a structure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neighbours of a structure cannot be searched.
    #[error(transparent)]
    Structure(#[from] isograd_structure::Error),
    /// A structure has an element that the model was not made for.
    #[error("the model does not know {element}; it knows {known}")]
    Element {
        /// The element.
        element: String,
        /// Those that the model was made for.
        known: String,
    },
    /// A source is asked for that a potential was not trained on.
    #[error("the potential has no source `{name}`; it knows {known}")]
    Source {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}
