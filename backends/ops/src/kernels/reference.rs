//! The operations in plain tensor operations.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, IndexingUpdateOp, Tensor, TensorData, activation};

use super::{AdamwState, AdamwStep};
use crate::index::Grouping;
use crate::primitive::zeros;

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

/// `silu''(x) = sigmoid(x) (1 - sigmoid(x)) (2 + x (1 - 2 sigmoid(x)))`.
pub fn silu_curvature<B: Backend, const R: usize>(x: Tensor<B, R>) -> Tensor<B, R> {
    let sigmoid = sigmoid(x.clone());
    let falling = x * (sigmoid.clone().mul_scalar(-2.0) + 1.0) + 2.0;
    sigmoid.clone() * (sigmoid.neg() + 1.0) * falling
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
    let zeros = zeros([grouping.groups(), rows.dims()[1]], &rows.device());
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

/// See [`KernelBackend::max_groups`](super::KernelBackend::max_groups).
pub fn max_groups<B: Backend>(grouping: &Grouping<B>, rows: Tensor<B, 2>) -> Tensor<B, 2> {
    let ([count, columns], groups) = (rows.dims(), grouping.groups());
    let host = &grouping.host;
    let longest = (0..groups).map(|group| host.rows_of(group).count()).max().unwrap_or(0);
    let device = rows.device();
    if longest == 0 {
        return zeros([groups, columns], &device);
    }
    // Every group as a row of its members, the first of which fills what is left; a row of zeros stands for no member.
    let padded = Tensor::cat(vec![rows, Tensor::zeros([1, columns], &device)], 0);
    let mut places = Vec::with_capacity(groups * longest);
    for group in 0..groups {
        let start = places.len();
        places.extend(host.rows_of(group).map(|row| row as i32));
        let filling = places.get(start).copied().unwrap_or(count as i32);
        places.resize(start + longest, filling);
    }
    let places = Tensor::from_data(TensorData::new(places, [groups * longest]), &device);
    padded.select(0, places).reshape([groups, longest, columns]).max_dim(1).reshape([groups, columns])
}
