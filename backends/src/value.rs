//! What flows through a model: matrices, and the operations that models are written with.
//!
//! A [`Value`] is a matrix `[rows, columns]` of node, edge or graph features. Models compute on values
//! with the operations of this module and on nothing else, so that whatever is to hold for every model (gradients,
//! memory plans) is said once, beside the operation. Weights and indices are not values: they enter operations
//! as tensors and groupings.

mod arithmetic;
mod edges;
mod vectors;

use std::ops::Range;

use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

pub use edges::{EdgeWork, Gate, Messages, attend, message};

/// A matrix `[rows, columns]` that flows through a model.
#[derive(Debug, Clone)]
pub struct Value<B: Backend> {
    primal: Tensor<B, 2>,
}

impl<B: Backend> Value<B> {
    /// The value of a tensor.
    pub fn new(primal: Tensor<B, 2>) -> Self {
        Self { primal }
    }

    /// Zeros of this shape.
    pub fn zeros(shape: [usize; 2], device: &B::Device) -> Self {
        Self::new(Tensor::zeros(shape, device))
    }

    /// Zeros of the same shape.
    pub fn zeros_like(&self) -> Self {
        Self::new(self.primal.zeros_like())
    }

    /// The tensor.
    pub fn tensor(&self) -> &Tensor<B, 2> {
        &self.primal
    }

    /// The tensor, without a copy of the handle.
    pub fn into_tensor(self) -> Tensor<B, 2> {
        self.primal
    }

    /// Rows and columns.
    pub fn dims(&self) -> [usize; 2] {
        self.primal.dims()
    }

    /// Where it lies.
    pub fn device(&self) -> B::Device {
        self.primal.device()
    }

    /// The same numbers in another shape of as many elements, row by row.
    ///
    /// # Panics
    /// If the numbers of elements differ.
    pub fn reshape(self, shape: [usize; 2]) -> Self {
        Self::new(self.primal.reshape(shape))
    }

    /// Some of the rows; the value itself where that is all of them.
    pub fn rows(&self, range: Range<usize>) -> Self {
        if range == (0..self.dims()[0]) {
            return self.clone();
        }
        Self::new(self.primal.clone().slice([range]))
    }

    /// Some of the columns; the value itself where that is all of them.
    pub fn columns(&self, range: Range<usize>) -> Self {
        let [rows, columns] = self.dims();
        if range == (0..columns) {
            return self.clone();
        }
        Self::new(self.primal.clone().slice([0..rows, range]))
    }

    /// Values one below the other.
    ///
    /// # Panics
    /// If there are none, or their columns differ.
    pub fn stack(values: Vec<Self>) -> Self {
        Self::new(Tensor::cat(values.into_iter().map(Self::into_tensor).collect(), 0))
    }

    /// Values side by side.
    ///
    /// # Panics
    /// If there are none, or their rows differ.
    pub fn join(values: Vec<Self>) -> Self {
        Self::new(Tensor::cat(values.into_iter().map(Self::into_tensor).collect(), 1))
    }
}

impl<A: AutodiffBackend> Value<A> {
    /// The same numbers as the start of a graph: a gradient with respect to them can be asked for.
    pub fn leaf(self) -> Self {
        Self::new(self.primal.detach().require_grad())
    }

    /// The same numbers, known to no graph.
    pub fn detached(&self) -> Self {
        Self::new(self.primal.clone().detach())
    }
}
