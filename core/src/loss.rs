//! The loss: energy per atom and force terms, normalised by the counts of the whole step.

mod terms;

pub use terms::{Labels, LossConfig, LossKind, loss};
