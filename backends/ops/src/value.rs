//! What flows through a model: matrices, and the operations that models are written with.
//!
//! A [`Value`] is a matrix `[rows, columns]` of node, edge or graph features. Models compute on values
//! with the operations of this module and on nothing else, so that whatever is to hold for every model (gradients,
//! memory plans) is said once, beside the operation. Weights and indices are not values: they enter operations
//! as tensors and groupings.
//!
//! A value may carry a *tangent*: its derivative along a direction, as atoms move along given displacements. Each
//! operation says beside its formula what becomes of tangents; that of a result is there where that of an operand is. A
//! model that is written for values therefore gives derivatives along a direction without a line of its own.

mod arithmetic;
mod edges;
mod tangent;
mod tensors;
mod vectors;

use std::ops::Range;

use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

use crate::primitive::zeros;

pub use edges::{EdgeWork, Gate, Messages, attend, message};
pub use tensors::{Convolution, convolve};

/// A matrix `[rows, columns]` that flows through a model, and in a walk along a direction its tangent.
#[derive(Debug, Clone)]
pub struct Value<B: Backend> {
    primal: Tensor<B, 2>,
    /// In the shape of the primal; `None` means zero.
    tangent: Option<Tensor<B, 2>>,
}

impl<B: Backend> Value<B> {
    /// The value of a tensor, which no direction changes.
    pub fn new(primal: Tensor<B, 2>) -> Self {
        Self { primal, tangent: None }
    }

    /// The value of a tensor, and its derivative along a direction.
    ///
    /// # Panics
    /// If their shapes differ.
    pub fn with_tangent(primal: Tensor<B, 2>, tangent: Tensor<B, 2>) -> Self {
        assert_eq!(primal.dims(), tangent.dims(), "Value: shapes of value and tangent");
        Self { primal, tangent: Some(tangent) }
    }

    /// Zeros of this shape.
    pub fn zeros(shape: [usize; 2], device: &B::Device) -> Self {
        Self::new(zeros(shape, device))
    }

    /// Zeros of the same shape.
    pub fn zeros_like(&self) -> Self {
        Self::new(self.primal.zeros_like())
    }

    /// The tensor, without its tangent.
    pub fn tensor(&self) -> &Tensor<B, 2> {
        &self.primal
    }

    /// The derivative along the direction; `None` where no direction changes the value.
    pub fn tangent(&self) -> Option<&Tensor<B, 2>> {
        self.tangent.as_ref()
    }

    /// The tensor, without its tangent and without a copy of the handle.
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
        self.linear(|x| x.reshape(shape))
    }

    /// Rows as columns.
    pub fn transpose(self) -> Self {
        self.linear(Tensor::transpose)
    }

    /// Some of the rows; the value itself where that is all of them.
    pub fn rows(&self, range: Range<usize>) -> Self {
        if range == (0..self.dims()[0]) {
            return self.clone();
        }
        self.clone().linear(|x| x.slice([range.clone()]))
    }

    /// Some of the columns; the value itself where that is all of them.
    pub fn columns(&self, range: Range<usize>) -> Self {
        let [rows, columns] = self.dims();
        if range == (0..columns) {
            return self.clone();
        }
        self.clone().linear(|x| x.slice([0..rows, range.clone()]))
    }

    /// Values one below the other.
    ///
    /// # Panics
    /// If there are none, or their columns differ.
    pub fn stack(values: Vec<Self>) -> Self {
        Self::cat(values, 0)
    }

    /// Values side by side.
    ///
    /// # Panics
    /// If there are none, or their rows differ.
    pub fn join(values: Vec<Self>) -> Self {
        Self::cat(values, 1)
    }

    /// The same numbers as the start of a graph: where the backend differentiates, a gradient with respect to them can be
    /// asked for.
    pub fn leaf(self) -> Self {
        self.linear(|x| x.detach().require_grad())
    }

    /// The same numbers, known to no graph.
    pub fn detached(&self) -> Self {
        self.clone().linear(Tensor::detach)
    }
}

impl<A: AutodiffBackend> Value<A> {
    /// The same numbers on the backend without autodiff.
    pub fn inner(self) -> Value<A::InnerBackend> {
        Value { primal: self.primal.inner(), tangent: self.tangent.map(Tensor::inner) }
    }
}
