//! The loss: energy per atom and force terms, normalised by the counts of the whole step, and the
//! reference energies that are taken off the targets.

mod references;
mod terms;

pub use references::{Fit, References, fit_references};
pub use terms::{Labels, LossConfig, LossKind, loss};
