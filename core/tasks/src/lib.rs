//! What models are trained for: targets as data, and the readouts, losses and metrics that follow from them.
//!
//! A [`Task`] is a list of [`Target`]s: whether one is of graphs or nodes, a number, a vector or a class, where its labels
//! stand, and what its errors count. A [`Model`] is an architecture with a readout for each target on its last block.
//! Neither engine nor training knows what an energy is.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod calibration;
mod classes;
mod derivatives;
mod error;
mod info;
mod kinds;
mod labels;
mod loss;
mod metrics;
mod model;
mod network;
mod potential;
mod properties;
mod readout;
mod spread;
mod target;
mod task;

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_engine::Layout;

pub use calibration::{Calibration, ReliabilityBin, SpreadErrors};
pub use classes::Classes;
pub use derivatives::Of;
pub use error::Error;
pub use info::{Forces, ModelInfo, Nodes, Offset, SourceInfo, TrunkInfo};
pub use kinds::{Objective, TaskConfig};
pub use labels::{HostLabels, LabelCounts, Labels};
pub use loss::{LossKind, Term, loss};
pub use metrics::{BySource, Measure, Metric, Metrics, Tally};
pub use model::Model;
pub use network::Network;
pub use potential::{LossConfig, PotentialTask, potential_targets};
pub use properties::{Property, Shape};
pub use readout::{Derivative, Pool, Readout};
pub use spread::Spread;
pub use target::{Kind, Label, Level, Target};
pub use task::Task;

/// A trained model and its description.
#[derive(Debug, Clone)]
pub struct Trained<B: Backend> {
    /// The network.
    pub model: Model,
    /// Where its parameters are.
    pub layout: Layout,
    /// Its parameters, flat, in the order of their declaration.
    pub weights: Vec<Tensor<B, 1>>,
    /// What it predicts, of which nodes, from which sources.
    pub info: Arc<ModelInfo>,
}
