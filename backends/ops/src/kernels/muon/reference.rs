//! The operations in plain tensor operations: the definition that every other version is held against.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::{EPSILON, FACTORS, ITERATIONS, MuonStep, grid};

/// See [`KernelBackend::momentum`](crate::kernels::KernelBackend::momentum).
pub fn momentum<B: Backend>(step: &MuonStep, momentum: Tensor<B, 1>, gradient: Tensor<B, 1>) -> [Tensor<B, 1>; 2] {
    let new = gradient.mul_scalar((1.0 - step.momentum) * step.gradient_scale);
    let momentum = momentum.mul_scalar(step.momentum) + new.clone();
    [momentum.clone(), momentum.mul_scalar(step.momentum) + new]
}

/// See [`KernelBackend::orthogonal`](crate::kernels::KernelBackend::orthogonal).
pub fn orthogonal<B: Backend>(matrix: [usize; 2], x: Tensor<B, 2>) -> Tensor<B, 2> {
    orthogonal_by(matrix, x, Tensor::matmul)
}

/// The same, with products of matrices one by one from elsewhere.
pub fn orthogonal_by<B: Backend>(
    [p, q]: [usize; 2],
    x: Tensor<B, 2>,
    product: impl Fn(Tensor<B, 3>, Tensor<B, 3>) -> Tensor<B, 3>,
) -> Tensor<B, 2> {
    let [rows, columns] = x.dims();
    let [down, across] = grid([p, q], [rows, columns]);
    let matrices: Tensor<B, 3> = x.reshape([down, p, across, q]).swap_dims(1, 2).reshape([down * across, p, q]);
    let tall = p > q;
    let mut x = if tall { matrices.swap_dims(1, 2) } else { matrices };
    let squares = x.clone().square().sum_dim(2).sum_dim(1);
    x = x / squares.sqrt().add_scalar(EPSILON);
    let [a, b, c] = FACTORS;
    for _ in 0..ITERATIONS {
        let gram = product(x.clone(), x.clone().swap_dims(1, 2));
        let polynomial = gram.clone().mul_scalar(b) + product(gram.clone(), gram).mul_scalar(c);
        x = x.clone().mul_scalar(a) + product(polynomial, x);
    }
    let matrices = if tall { x.swap_dims(1, 2) } else { x };
    matrices.reshape([down, across, p, q]).swap_dims(1, 2).reshape([rows, columns])
}

/// See [`KernelBackend::descend`](crate::kernels::KernelBackend::descend).
pub fn descend<B: Backend>(
    step: &MuonStep,
    matrix: [usize; 2],
    values: Tensor<B, 1>,
    direction: Tensor<B, 1>,
) -> Tensor<B, 1> {
    let [rate, kept] = step.rates(matrix);
    values.mul_scalar(kept) - direction.mul_scalar(rate)
}
