//! The operation on the CPU: a product of matrices for each component, read and written where they lie.

use std::ops::Range;

use burn::tensor::{DType, Tensor};
use burn_flex::Flex;
use rayon::prelude::*;

use super::{Mixing, Role, reference};
use crate::host::matrix::{Matrix, Old, product_within};
use crate::host::parts::in_chunks;
use crate::host::{Values, from_values};

/// Multiplications that are worth a task of their own.
const TASK: usize = 1 << 20;

/// Fewest channels of a matrix of weights whose gradients are a task.
const SMALLEST_TASK: usize = 16;

/// See [`KernelBackend::mix`](crate::kernels::KernelBackend::mix).
pub(in crate::kernels) fn mix(
    mixing: &Mixing,
    missing: Role,
    a: Tensor<Flex, 2>,
    b: Tensor<Flex, 2>,
) -> Tensor<Flex, 2> {
    if a.dtype() != DType::F32 {
        return reference::mix(mixing, missing, a, b);
    }
    let rows = mixing.rows(missing, [a.dims(), b.dims()]);
    let shape = mixing.shape(missing, rows);
    if rows == 0 {
        return Tensor::zeros(shape, &a.device());
    }
    let (a, b) = (Values::new(&a), Values::new(&b));
    let work = Work::new(mixing);
    let found = match missing {
        Role::Result => work.map(rows, Side { values: a.get(), channels: 0 }, b.get()),
        Role::Features => work.map(rows, Side { values: b.get(), channels: 1 }, a.get()),
        Role::Weights => work.weights(rows, a.get(), b.get()),
    };
    from_values(found, shape)
}

/// What goes through the map, and which of the two numbers of channels it has.
#[derive(Clone, Copy)]
struct Side<'a> {
    values: &'a [f32],
    channels: usize,
}

struct Work<'a> {
    mixing: &'a Mixing,
    /// For each component its matrix.
    matrix_of: Vec<usize>,
    /// Rows of a task.
    chunk: usize,
}

impl<'a> Work<'a> {
    fn new(mixing: &'a Mixing) -> Self {
        let matrices = mixing.matrices().iter().enumerate();
        let matrix_of: Vec<usize> = matrices.flat_map(|(k, components)| components.clone().map(move |_| k)).collect();
        let [channels_in, channels_out] = mixing.channels();
        let per_row = matrix_of.len() * channels_in * channels_out;
        Self { mixing, matrix_of, chunk: (TASK / per_row.max(1)).max(1) }
    }

    /// What the weights, or their transposes, make of one side.
    fn map(&self, rows: usize, from: Side<'_>, weights: &[f32]) -> Vec<f32> {
        let channels = self.mixing.channels();
        let (own, other) = (channels[from.channels], channels[1 - from.channels]);
        let components = self.matrix_of.len();
        let (from_stride, stride) = (components * own, components * other);
        let mut found = vec![0.0; rows * stride];
        in_chunks(&mut found, self.chunk * stride, |k, found| {
            let rows = found.len() / stride.max(1);
            let from_rows = &from.values[k * self.chunk * from_stride..];
            for (component, &matrix) in self.matrix_of.iter().enumerate() {
                let x = Matrix::within(&from_rows[component * own..], rows, own, from_stride);
                let weights = self.matrix(weights, matrix);
                let weights = if from.channels == 0 { weights } else { weights.t() };
                product_within(&mut found[component * other..], stride, x, weights, Old::Dropped);
            }
        });
        found
    }

    fn matrix<'w>(&self, weights: &'w [f32], matrix: usize) -> Matrix<'w> {
        let [channels_in, channels_out] = self.mixing.channels();
        let size = channels_in * channels_out;
        Matrix::new(&weights[matrix * size..][..size], channels_in, channels_out)
    }

    /// The gradients of the weights, from both sides: some channels in of a matrix after the other, side by side.
    fn weights(&self, rows: usize, features: &[f32], result: &[f32]) -> Vec<f32> {
        let [channels_in, channels_out] = self.mixing.channels();
        let size = channels_in * channels_out;
        let mut found = vec![0.0; self.mixing.matrices().len() * size];
        let mut tasks = Vec::new();
        for (components, found) in self.mixing.matrices().iter().zip(found.chunks_mut(size)) {
            let per_channel = rows * components.len() * channels_out;
            let channels = (TASK / per_channel.max(1)).clamp(SMALLEST_TASK.min(channels_in), channels_in);
            let parts = found.chunks_mut(channels * channels_out).enumerate();
            tasks.extend(parts.map(|(k, found)| (components.clone(), k * channels, found)));
        }
        let of = |(components, first, found): (Range<usize>, usize, &mut [f32])| {
            let channels = found.len() / channels_out;
            let [stride_in, stride_out] = [channels_in, channels_out].map(|channels| self.matrix_of.len() * channels);
            for component in components {
                let (x, g) = (&features[component * channels_in + first..], &result[component * channels_out..]);
                let x = Matrix::within(x, rows, channels, stride_in);
                let g = Matrix::within(g, rows, channels_out, stride_out);
                product_within(found, channels_out, x.t(), g, Old::Added);
            }
        };
        if rows * self.matrix_of.len() * size <= TASK {
            tasks.into_iter().for_each(of);
        } else {
            tasks.into_par_iter().for_each(of);
        }
        found
    }
}
