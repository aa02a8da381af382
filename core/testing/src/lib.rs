//! The conformance suite: what every architecture must keep, in one place.
//!
//! ```no_run
//! # use isograd_models::SchNet as MyArchitecture;
//! #[test]
//! fn my_architecture_conforms() {
//!     isograd_testing::conforms(&isograd_testing::Subject::new("mine", MyArchitecture { cutoff: 3.0, ..Default::default() }));
//! }
//! ```
//!
//! [`conforms`] runs, on the CPU, in single and double precision:
//! - the equivariance battery ([`equivariance`]), smoothness at the cutoff and batch = singles included;
//! - gradients of every parameter against finite differences ([`gradients`]), and of a conservative potential forces and
//!   stress against those of its energy;
//! - recomputation policies, which must agree to the bit ([`recomputation`]);
//! - one, two and three ranks and every ZeRO level, which must train alike ([`ranks`]);
//! - saving and going on, which must change nothing ([`resuming`]).
//!
//! Choose small hyper-parameters: a width of 8, two or three layers, and a cutoff of 3 angstrom, for which the structures
//! here are made.

pub mod batches;
pub mod equivariance;
pub mod gradients;
pub mod ranks;
pub mod recomputation;
pub mod resuming;
mod subject;

pub use subject::{Subject, every_subject};

/// Puts an architecture through the whole suite.
///
/// # Panics
/// Where it does not conform; the message says what differs.
pub fn conforms(subject: &Subject) {
    recomputation::agrees(subject);
    gradients::match_finite_differences(subject);
    if subject.forces == isograd_tasks::Forces::Gradient {
        gradients::derivatives_match_finite_differences(subject);
        gradients::hessian_products_match_finite_differences(subject);
    }
    ranks::agree(subject);
    resuming::agrees(subject);
    equivariance::holds(subject, 100);
}
