//! Where gradients go.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Takes the gradients of each stage as soon as they are there, the last stage first.
pub trait Sink<B: Backend> {
    /// The gradients of one stage, in the order of [`crate::model::read`].
    fn stage(&mut self, index: usize, gradients: Vec<Tensor<B, 1>>);
}

/// Adds up the gradients of each stage over several walks.
#[derive(Debug)]
pub struct Collect<B: Backend> {
    stages: Vec<Option<Vec<Tensor<B, 1>>>>,
}

impl<B: Backend> Collect<B> {
    /// For a model of this many stages.
    pub fn new(stages: usize) -> Self {
        Self { stages: vec![None; stages] }
    }

    /// All gradients, in the order of the stages.
    pub fn gradients(self) -> Vec<Tensor<B, 1>> {
        self.stages.into_iter().flatten().flatten().collect()
    }
}

impl<B: Backend> Sink<B> for Collect<B> {
    fn stage(&mut self, index: usize, gradients: Vec<Tensor<B, 1>>) {
        let sum = match self.stages[index].take() {
            Some(earlier) => earlier.into_iter().zip(gradients).map(|(a, b)| a + b).collect(),
            None => gradients,
        };
        self.stages[index] = Some(sum);
    }
}
