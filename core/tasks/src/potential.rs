//! Potentials: energies and forces of structures.

mod info;
mod targets;
mod task;

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_engine::Layout;

use crate::Model;

pub use info::{Forces, PotentialInfo, PotentialSource, Scales, TrunkInfo};
pub use targets::potential_targets;
pub use task::{LossConfig, PotentialTask};

/// A trained model and its description.
#[derive(Debug, Clone)]
pub struct Potential<B: Backend> {
    /// The network.
    pub model: Model,
    /// Where its parameters are.
    pub layout: Layout,
    /// Its parameters, flat, in the order of their declaration.
    pub weights: Vec<Tensor<B, 1>>,
    /// Elements, sources, references.
    pub info: Arc<PotentialInfo>,
}
