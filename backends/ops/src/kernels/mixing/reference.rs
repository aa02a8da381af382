//! The operation in plain tensor operations: the definition that every other version is held against.

use std::ops::Range;

use burn::tensor::Tensor;

use super::{Mixing, Role};
use crate::kernels::KernelBackend;
use crate::primitive::zeros;

/// See [`KernelBackend::mix`](crate::kernels::KernelBackend::mix).
pub fn mix<B: KernelBackend>(mixing: &Mixing, missing: Role, a: Tensor<B, 2>, b: Tensor<B, 2>) -> Tensor<B, 2> {
    let rows = mixing.rows(missing, [a.dims(), b.dims()]);
    let [channels_in, channels_out] = mixing.channels();
    let shape = mixing.shape(missing, rows);
    if rows == 0 {
        return zeros(shape, &a.device());
    }
    // The components of a matrix as rows of their own.
    let part = |all: &Tensor<B, 2>, channels: usize, components: &Range<usize>| {
        let columns = components.start * channels..components.end * channels;
        all.clone().slice([0..rows, columns]).reshape([rows * components.len(), channels])
    };
    let matrix = |all: &Tensor<B, 2>, k: usize| all.clone().narrow(0, k * channels_in, channels_in);
    let beside = |found: Tensor<B, 2>, columns: usize| found.reshape([rows, columns]);
    let of = |(k, components): (usize, &Range<usize>)| match missing {
        _ if components.is_empty() && missing != Role::Weights => None,
        Role::Result => {
            let found = B::matmul(part(&a, channels_in, components), matrix(&b, k));
            Some(beside(found, components.len() * channels_out))
        }
        Role::Features => {
            let found = B::matmul(part(&b, channels_out, components), matrix(&a, k).transpose());
            Some(beside(found, components.len() * channels_in))
        }
        Role::Weights if components.is_empty() => Some(Tensor::zeros([channels_in, channels_out], &a.device())),
        Role::Weights => {
            Some(B::matmul_over_rows(part(&a, channels_in, components), part(&b, channels_out, components)))
        }
    };
    let parts: Vec<_> = mixing.matrices().iter().enumerate().filter_map(of).collect();
    if parts.is_empty() {
        return zeros(shape, &a.device());
    }
    Tensor::cat(parts, if missing == Role::Weights { 0 } else { 1 })
}
