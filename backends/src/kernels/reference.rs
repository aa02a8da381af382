//! The operations in plain tensor operations; they differentiate any number of times where the backend
//! does.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, IndexingUpdateOp, Tensor, activation};

use super::{AdamwState, AdamwStep};
use crate::index::Grouping;

/// `1 / (1 + exp(-x))`.
pub fn sigmoid<B: Backend, const R: usize>(x: Tensor<B, R>) -> Tensor<B, R> {
    if x.dtype() == DType::F64 {
        // Burn's own goes through single precision.
        return (x.mul_scalar(0.5).tanh() + 1.0).mul_scalar(0.5);
    }
    activation::sigmoid(x)
}

/// See [`KernelBackend::silu`](super::KernelBackend::silu).
pub fn silu<B: Backend, const R: usize>(x: Tensor<B, R>) -> Tensor<B, R> {
    x.clone() * sigmoid(x)
}

/// `silu'(x) = sigmoid(x) (1 + x (1 - sigmoid(x)))`.
pub fn silu_slope<B: Backend, const R: usize>(x: Tensor<B, R>) -> Tensor<B, R> {
    let sigmoid = sigmoid(x.clone());
    sigmoid.clone() * (x * (sigmoid.neg() + 1.0) + 1.0)
}

/// See [`KernelBackend::silu_backward`](super::KernelBackend::silu_backward).
pub fn silu_backward<B: Backend, const R: usize>(x: Tensor<B, R>, gradient: Tensor<B, R>) -> Tensor<B, R> {
    gradient * silu_slope(x)
}

/// See [`KernelBackend::gather`](super::KernelBackend::gather).
pub fn gather<B: Backend>(grouping: &Grouping<B>, values: Tensor<B, 2>) -> Tensor<B, 2> {
    values.select(0, grouping.group_of.clone())
}

/// See [`KernelBackend::sum_groups`](super::KernelBackend::sum_groups).
pub fn sum_groups<B: Backend>(grouping: &Grouping<B>, rows: Tensor<B, 2>) -> Tensor<B, 2> {
    let zeros = Tensor::zeros([grouping.groups(), rows.dims()[1]], &rows.device());
    if grouping.rows() == 0 {
        return zeros;
    }
    zeros.select_assign(0, grouping.group_of.clone(), rows, IndexingUpdateOp::Add)
}

/// See [`KernelBackend::adamw`](super::KernelBackend::adamw).
pub fn adamw<B: Backend>(step: &AdamwStep, state: AdamwState<B>, gradient: Tensor<B, 1>) -> AdamwState<B> {
    let AdamwState { values, moments: [first, second] } = state;
    let gradient = gradient.mul_scalar(step.gradient_scale);
    let first = first.mul_scalar(step.beta_1) + gradient.clone().mul_scalar(1.0 - step.beta_1);
    let second = second.mul_scalar(step.beta_2) + gradient.square().mul_scalar(1.0 - step.beta_2);
    let rates = step.rates();
    let update = first.clone().mul_scalar(rates.rate) / (second.clone().sqrt() + rates.epsilon);
    AdamwState { values: values.mul_scalar(1.0 - f64::from(rates.decay)) - update, moments: [first, second] }
}
