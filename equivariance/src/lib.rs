//! Property tests for geometric models.
//!
//! A model maps host arrays to host arrays: positions `[N, D]`, species, features, vectors, a cell;
//! back come scalars, vectors, points, tensors. [`check`] draws random systems, transforms them in
//! double precision and compares what the model returns with what it should: under rotations,
//! reflections, translations, permutations, other descriptions of the same crystal; in batches; at
//! the cutoff; on degenerate inputs; for what the model claims beside (forces that are the gradient of
//! an energy, a stress that is its derivative by the strain, no net force, no net torque). It knows
//! nothing of any framework.
//!
//! **What passes.** An error is relative to the size of the output and is held against the model's
//! own noise floor: how much the same comparison changes when its inputs move by a rounding error
//! ([`Precision::epsilon`]). Up to [`Settings::tolerance`] noise floors pass, but never more than
//! [`Precision::limit`], unless the model does what it should in double precision and few cases need
//! this ([`Row::ill_conditioned`]); numeric derivatives and extrapolations to the cutoff, which lose digits, are
//! allowed a fixed multiple of that limit, and their errors are counted beyond that of the method itself.
//!
//! **What is kept.** Every row has its largest error, its 99th percentile, and the worst case with the
//! seed that reproduces it; a failing case is shrunk before it is shown.
//!
//! ```
//! use isograd_equivariance::{Description, Precision, Settings, check, from_fn};
//!
//! // Each node is pulled towards the first one: not what a set of nodes should do.
//! let description = Description::new(3, Precision::F64).node_vector("pull").nodes(2, 5);
//! let broken = from_fn(description, |system| {
//!     let first = system.positions.row(0).to_vec();
//!     vec![system.positions.iter().flat_map(|row| row.iter().zip(&first).map(|(x, y)| y - x)).collect()]
//! });
//! let report = check(&broken, &Settings::default());
//! assert!(report.row("rotation", "pull").unwrap().passed);
//! let row = report.row("node permutation", "pull").unwrap();
//! assert!(!row.passed);
//! // Two nodes are enough to show it.
//! assert_eq!(row.counterexample.as_ref().unwrap().case.systems[0].len(), 2);
//! ```
//!
//! # Cargo features
//! - `proptest`: the module `strategies`, with strategies for transformations, systems and cells.

mod assertion;
mod battery;
mod case;
mod comparison;
mod conservation;
mod cutoff;
mod description;
mod evaluation;
pub mod group;
mod model;
mod noise;
mod property;
mod question;
mod report;
mod rows;
pub mod sample;
mod settings;
mod shrink;
#[cfg(feature = "proptest")]
pub mod strategies;
mod system;
mod transformation;

pub use battery::check;
pub use case::Case;
pub use description::{Description, ForcesOf, Kind, Output, Precision, StressOf};
pub use model::{Failure, Model, Outputs, from_batch_fn, from_fn};
pub use property::Skipped;
pub use question::Question;
pub use report::{BaselineError, Counterexample, Regression, Report, Row, Worst};
pub use rows::Rows;
pub use settings::Settings;
pub use system::System;
pub use transformation::Transformation;
