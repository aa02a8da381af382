//! A part of a model.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::Result;

/// What flows from stage to stage: matrices, whose meaning the stages agree on.
pub type Flow<B> = Vec<Tensor<B, 2>>;

/// A part of a model that is a function of what flows into it, of its own parameters and of the graph,
/// and of nothing else; random numbers only from Burn's generator, see [`Walk::seed`](super::Walk).
pub trait Stage<B: Backend> {
    /// What all stages read and none is differentiated by.
    type Graph;

    /// What flows out. The first stage has nothing flowing in.
    fn forward(&self, graph: &Self::Graph, flow: Flow<B>) -> Flow<B>;
}

/// Where the stages of a model come from: a list, or weights that are fetched when a stage is due.
pub trait Stages<B: Backend> {
    /// A stage with its weights.
    type Stage: Stage<B>;

    /// How many there are.
    fn count(&self) -> usize;

    /// The stages will be asked for in this order.
    fn begin(&self, _order: Vec<usize>) {}

    /// The stage at a position.
    ///
    /// # Errors
    /// Where its weights cannot be had.
    fn stage(&self, index: usize) -> Result<Self::Stage>;
}

impl<B: Backend, S: Stage<B> + Clone> Stages<B> for Vec<S> {
    type Stage = S;

    fn count(&self) -> usize {
        self.len()
    }

    fn stage(&self, index: usize) -> Result<S> {
        Ok(self[index].clone())
    }
}
