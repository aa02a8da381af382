//! SiLU, the activation of the model, and the sigmoid of its attention.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, activation};

/// `1 / (1 + exp(-x))`, elementwise; differentiates twice.
pub(super) fn sigmoid<B: Backend, const R: usize>(x: Tensor<B, R>) -> Tensor<B, R> {
    if x.dtype() == DType::F64 {
        // Burn's default sigmoid goes through f32; the tanh form keeps double precision.
        return (x.mul_scalar(0.5).tanh() + 1.0).mul_scalar(0.5);
    }
    activation::sigmoid(x)
}

/// `x * sigmoid(x)`, elementwise; differentiates twice.
pub(super) fn silu<B: Backend, const R: usize>(x: Tensor<B, R>) -> Tensor<B, R> {
    x.clone() * sigmoid(x)
}
