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
    /// A structure has an element that no structure had which the model was trained on.
    #[error("the model was not trained on {element}: labels of source `{name}` are of {known} alone")]
    Untrained {
        /// The element.
        element: String,
        /// The source.
        name: String,
        /// The elements that it was trained on.
        known: String,
    },
    /// It is left open which of several sources is meant.
    #[error("the potential has several sources, {known}; say which one's energies and forces are meant")]
    AnySource {
        /// What there is.
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
