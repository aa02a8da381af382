//! The operations on the CPU: matrices one after the other, large products cut into rows that are made side by side.

use burn::tensor::{DType, Tensor};
use burn_flex::Flex;
use rayon::prelude::*;

use super::{EPSILON, FACTORS, ITERATIONS, MuonStep, grid, reference};
use crate::host::matrix::{Matrix, Old, product};
use crate::host::parts::in_chunks;
use crate::host::{Values, from_values};
use crate::primitive::{primitive, tensor};

/// Values that are worth a task of their own.
const CHUNK: usize = 1 << 15;

/// Multiplications that are.
const TASK: usize = 1 << 22;

/// See [`KernelBackend::momentum`](crate::kernels::KernelBackend::momentum).
pub(in crate::kernels) fn momentum(
    step: &MuonStep,
    momentum: Tensor<Flex, 1>,
    gradient: Tensor<Flex, 1>,
) -> [Tensor<Flex, 1>; 2] {
    if gradient.dtype() != DType::F32 {
        return reference::momentum(step, momentum, gradient);
    }
    let (kept, new) = (step.momentum as f32, ((1.0 - step.momentum) * step.gradient_scale) as f32);
    let mut momentum = primitive(momentum).to_contiguous();
    let gradient = Values::new(&gradient);
    let mut ahead = vec![0.0; gradient.get().len()];
    let parts = momentum.storage_mut::<f32>().par_chunks_mut(CHUNK).zip(ahead.par_chunks_mut(CHUNK));
    parts.zip(gradient.get().par_chunks(CHUNK)).for_each(|((momentum, ahead), gradient)| {
        for ((m, ahead), g) in momentum.iter_mut().zip(ahead).zip(gradient) {
            let new = new * g;
            *m = kept * *m + new;
            *ahead = kept * *m + new;
        }
    });
    let length = ahead.len();
    [tensor(momentum), from_values(ahead, [length])]
}

/// See [`KernelBackend::descend`](crate::kernels::KernelBackend::descend).
pub(in crate::kernels) fn descend(
    step: &MuonStep,
    matrix: [usize; 2],
    values: Tensor<Flex, 1>,
    direction: Tensor<Flex, 1>,
) -> Tensor<Flex, 1> {
    if values.dtype() != DType::F32 {
        return reference::descend(step, matrix, values, direction);
    }
    let [rate, kept] = step.rates(matrix).map(|rate| rate as f32);
    let mut values = primitive(values).to_contiguous();
    let direction = Values::new(&direction);
    let parts = values.storage_mut::<f32>().par_chunks_mut(CHUNK);
    parts.zip(direction.get().par_chunks(CHUNK)).for_each(|(values, direction)| {
        values.iter_mut().zip(direction).for_each(|(x, d)| *x = kept * *x - rate * d);
    });
    tensor(values)
}

/// See [`KernelBackend::orthogonal`](crate::kernels::KernelBackend::orthogonal).
pub(in crate::kernels) fn orthogonal(matrix: [usize; 2], x: Tensor<Flex, 2>) -> Tensor<Flex, 2> {
    if x.dtype() != DType::F32 {
        return reference::orthogonal(matrix, x);
    }
    let [p, q] = matrix;
    let shape @ [rows, columns] = x.dims();
    let x = Values::new(&x);
    let [down, across] = grid(matrix, shape);
    let mut found = vec![0.0; rows * columns];
    for place in 0..down * across {
        let at = |row: usize| (place / across * p + row) * columns + place % across * q;
        let mut own = Vec::with_capacity(p * q);
        (0..p).for_each(|row| own.extend_from_slice(&x.get()[at(row)..][..q]));
        if p > q {
            own = transposed(&own, q);
        }
        turn(&mut own, p.min(q));
        if p > q {
            own = transposed(&own, p);
        }
        (0..p).for_each(|row| found[at(row)..][..q].copy_from_slice(&own[row * q..][..q]));
    }
    from_values(found, shape)
}

/// The transpose of rows of so many values.
fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values[column..].iter().step_by(columns).copied()).collect()
}

/// Makes a matrix of so many rows, at most as many as columns, orthogonal.
fn turn(x: &mut Vec<f32>, rows: usize) {
    let columns = x.len() / rows;
    let squares: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let scale = (1.0 / (squares.sqrt() + EPSILON)) as f32;
    x.iter_mut().for_each(|x| *x *= scale);
    let [a, b, c] = FACTORS.map(|factor| factor as f32);
    let mut gram = vec![0.0; rows * rows];
    let mut polynomial = vec![0.0; rows * rows];
    let mut next = vec![0.0; x.len()];
    for _ in 0..ITERATIONS {
        let old = Matrix::new(x, rows, columns);
        by_rows(&mut gram, rows, columns, |first, part, target| {
            let own = Matrix::new(&x[first * columns..][..part * columns], part, columns);
            product(target, own, old.t(), Old::Dropped);
        });
        let square = Matrix::new(&gram, rows, rows);
        by_rows(&mut polynomial, rows, rows, |first, part, target| {
            let own = &gram[first * rows..][..part * rows];
            product(target, Matrix::new(own, part, rows), square, Old::Dropped);
            target.iter_mut().zip(own).for_each(|(p, g)| *p = b * g + c * *p);
        });
        by_rows(&mut next, columns, rows, |first, part, target| {
            let own = Matrix::new(&polynomial[first * rows..][..part * rows], part, rows);
            product(target, own, old, Old::Dropped);
            target.iter_mut().zip(&x[first * columns..]).for_each(|(next, x)| *next += a * x);
        });
        std::mem::swap(x, &mut next);
    }
}

/// Makes rows of a product, with so many multiplications for each value, some at a time: given the first row, how many, and
/// where they are to go.
fn by_rows(target: &mut [f32], columns: usize, inner: usize, make: impl Fn(usize, usize, &mut [f32]) + Send + Sync) {
    let rows = (TASK / (columns * inner).max(1)).max(1);
    in_chunks(target, rows * columns, |k, part| make(k * rows, part.len() / columns, part));
}
