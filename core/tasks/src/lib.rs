//! What models are trained for: targets as data, and the readouts, losses and metrics that follow from them.
//!
//! A [`Task`] says which [`Target`]s there are, what a structure's labels for them are, and how errors count. A [`Model`] is
//! an architecture with a readout for each target on its last block. Neither engine nor training knows what an energy is.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod error;
mod labels;
mod loss;
mod metrics;
mod model;
mod potential;
mod readout;
mod target;
mod task;

pub use error::Error;
pub use labels::{HostLabels, LabelCounts, Labels};
pub use loss::{LossKind, Term, loss};
pub use metrics::{Measure, Metric, Metrics, Tally};
pub use model::{Model, ModelBytes};
pub use potential::{
    Forces, LossConfig, Potential, PotentialInfo, PotentialSource, PotentialTask, Scales, TrunkInfo, potential_targets,
};
pub use readout::{Pool, Readout};
pub use target::{Kind, Level, Target};
pub use task::Task;
