//! A part of a model.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

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
