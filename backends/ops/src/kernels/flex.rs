//! The operations on the CPU: one pass each, vectorised, in parallel where there is enough to do.

use std::sync::Arc;

use burn::tensor::{DType, Tensor};
use burn_flex::Flex;
use rayon::prelude::*;

use super::contraction::{self, Contraction};
use super::mixing::{self, Mixing, Role};
use super::muon::{self, MuonStep};
use super::tensor_product::{self, Slot, Table};
use super::{AdamwState, AdamwStep, KernelBackend, Rates, bound, reference};
use crate::dual::Dual;
use crate::host::parts::in_chunks;
use crate::host::{Values, from_values};
use crate::index::Grouping;
use crate::primitive::{primitive, tensor};
use crate::simd;

/// Values that are worth a task of their own.
const CHUNK: usize = 1 << 14;

impl KernelBackend for Flex {
    fn silu<const R: usize>(x: Tensor<Self, R>) -> Tensor<Self, R> {
        if x.dtype() != DType::F32 {
            return reference::silu(x);
        }
        let shape = x.dims();
        let x = Values::new(&x);
        let mut y = vec![0.0; x.get().len()];
        let arch = pulp::Arch::new();
        let x = x.get();
        in_chunks(&mut y, CHUNK, |k, y| arch.dispatch(SiluChunk { x: &x[k * CHUNK..][..y.len()], y }));
        from_values(y, shape)
    }

    fn silu_backward<const R: usize>(x: Tensor<Self, R>, gradient: Tensor<Self, R>) -> Tensor<Self, R> {
        if x.dtype() != DType::F32 {
            return reference::silu_backward(x, gradient);
        }
        let x = Values::new(&x);
        let mut gradient = primitive(gradient);
        if !(gradient.is_contiguous() && gradient.layout().start_offset() == 0) {
            gradient = gradient.to_contiguous();
        }
        let arch = pulp::Arch::new();
        let values = gradient.storage_mut::<f32>();
        let x = x.get();
        in_chunks(values, CHUNK, |k, gradient| {
            arch.dispatch(SiluSlopeChunk { x: &x[k * CHUNK..][..gradient.len()], gradient });
        });
        tensor(gradient)
    }

    fn contract(contraction: Contraction, a: Tensor<Self, 2>, b: Tensor<Self, 2>) -> Tensor<Self, 2> {
        if a.dtype() != DType::F32 {
            return contraction::reference(contraction, a, b);
        }
        let ([rows, first], [_, second]) = (a.dims(), b.dims());
        let sizes @ [axes, features] = contraction.sizes(first, second);
        let columns = contraction.columns(sizes);
        let (a, b) = (Values::new(&a), Values::new(&b));
        let mut found = vec![0.0; rows * columns];
        if rows * columns > 0 {
            let chunk = rows_of_chunk(axes * features);
            let arch = pulp::Arch::new();
            let (a, b) = (a.get(), b.get());
            in_chunks(&mut found, chunk * columns, |k, found| {
                arch.dispatch(|| {
                    let (a, b) = (&a[k * chunk * first..], &b[k * chunk * second..]);
                    let rows = a.chunks_exact(first).zip(b.chunks_exact(second));
                    for (found, (a, b)) in found.chunks_exact_mut(columns).zip(rows) {
                        contract_row(contraction, features, a, b, found);
                    }
                });
            });
        }
        from_values(found, [rows, columns])
    }

    fn tensor_product(table: &Arc<Table>, missing: Slot, factors: [Dual<Self>; 3]) -> Dual<Self> {
        tensor_product::flex::tensor_product(table, missing, factors)
    }

    fn mix(mixing: &Arc<Mixing>, missing: Role, a: Tensor<Self, 2>, b: Tensor<Self, 2>) -> Tensor<Self, 2> {
        mixing::flex::mix(mixing, missing, a, b)
    }

    fn bound(components: usize, x: Dual<Self>) -> Dual<Self> {
        bound::flex::bound(components, x)
    }

    fn bound_backward(components: usize, x: Dual<Self>, gradient: Dual<Self>) -> Dual<Self> {
        bound::flex::bound_backward(components, x, gradient)
    }

    fn gather(grouping: &Grouping<Self>, values: Tensor<Self, 2>) -> Tensor<Self, 2> {
        if values.dtype() != DType::F32 {
            return reference::gather(grouping, values);
        }
        let [_, columns] = values.dims();
        let values = Values::new(&values);
        let values = values.get();
        let group_of = &grouping.host.group_of;
        let mut rows = vec![0.0; group_of.len() * columns];
        let chunk = rows_of_chunk(columns);
        in_chunks(&mut rows, chunk * columns.max(1), |k, rows| {
            let group_of = &group_of[k * chunk..];
            match columns {
                0 => {}
                1 => gather_rows::<1>(values, group_of, rows),
                3 => gather_rows::<3>(values, group_of, rows),
                _ => {
                    for (row, &group) in rows.chunks_exact_mut(columns).zip(group_of) {
                        row.copy_from_slice(&values[group as usize * columns..][..columns]);
                    }
                }
            }
        });
        from_values(rows, [group_of.len(), columns])
    }

    fn sum_groups(grouping: &Grouping<Self>, rows: Tensor<Self, 2>) -> Tensor<Self, 2> {
        if rows.dtype() != DType::F32 {
            return reference::sum_groups(grouping, rows);
        }
        let ([_, columns], groups) = (rows.dims(), grouping.groups());
        let rows = Values::new(&rows);
        let rows = rows.get();
        let mut sums = vec![0.0; groups * columns];
        // Groups have unequal numbers of rows; chunks that are smaller than the work allows even it out.
        let chunk = (rows_of_chunk(columns) / 8).max(1);
        in_chunks(&mut sums, chunk * columns.max(1), |k, sums| match columns {
            0 => {}
            1 => sum_rows::<1>(grouping, rows, k * chunk, sums),
            3 => sum_rows::<3>(grouping, rows, k * chunk, sums),
            _ => {
                for (group, sum) in sums.chunks_exact_mut(columns).enumerate() {
                    for row in grouping.host.rows_of(k * chunk + group) {
                        simd::add(sum, &rows[row * columns..][..columns]);
                    }
                }
            }
        });
        from_values(sums, [groups, columns])
    }

    fn adamw(step: &AdamwStep, state: AdamwState<Self>, gradient: Tensor<Self, 1>) -> AdamwState<Self> {
        if gradient.dtype() != DType::F32 {
            return reference::adamw(step, state, gradient);
        }
        let AdamwState { values, moments: [first, second] } = state;
        let [mut values, mut first, mut second] = [values, first, second].map(|x| primitive(x).to_contiguous());
        let gradient = Values::new(&gradient);
        let arch = pulp::Arch::new();
        let parts = values.storage_mut::<f32>().par_chunks_mut(CHUNK);
        let moments = first.storage_mut::<f32>().par_chunks_mut(CHUNK).zip(second.storage_mut().par_chunks_mut(CHUNK));
        parts.zip(moments).zip(gradient.get().par_chunks(CHUNK)).for_each(|((values, (first, second)), gradient)| {
            arch.dispatch(AdamwChunk { step, rates: step.rates(), values, first, second, gradient });
        });
        AdamwState { values: tensor(values), moments: [tensor(first), tensor(second)] }
    }

    fn momentum(step: &MuonStep, momentum: Tensor<Self, 1>, gradient: Tensor<Self, 1>) -> [Tensor<Self, 1>; 2] {
        muon::flex::momentum(step, momentum, gradient)
    }

    fn orthogonal(matrix: [usize; 2], x: Tensor<Self, 2>) -> Tensor<Self, 2> {
        muon::flex::orthogonal(matrix, x)
    }

    fn descend(
        step: &MuonStep,
        matrix: [usize; 2],
        values: Tensor<Self, 1>,
        direction: Tensor<Self, 1>,
    ) -> Tensor<Self, 1> {
        muon::flex::descend(step, matrix, values, direction)
    }
}

/// One row of a contraction with C features, into zeros.
#[inline(always)]
fn contract_row(contraction: Contraction, features: usize, a: &[f32], b: &[f32], found: &mut [f32]) {
    let times = |found: &mut [f32], row: &[f32], factor: &[f32]| {
        for ((found, x), y) in found.iter_mut().zip(row).zip(factor) {
            *found += x * y;
        }
    };
    let scaled = |found: &mut [f32], row: &[f32], factor: f32| {
        for (found, x) in found.iter_mut().zip(row) {
            *found += x * factor;
        }
    };
    let axes = a.chunks_exact(features);
    match contraction {
        Contraction::Outer => {
            for (found, factor) in found.chunks_exact_mut(features).zip(a) {
                scaled(found, b, *factor);
            }
        }
        Contraction::Scale => {
            for (found, row) in found.chunks_exact_mut(features).zip(axes) {
                times(found, row, b);
            }
        }
        Contraction::Inner { .. } => {
            for (row, other) in axes.zip(b.chunks_exact(features)) {
                times(found, row, other);
            }
        }
        Contraction::Along => {
            for (row, factor) in axes.zip(b) {
                scaled(found, row, *factor);
            }
        }
        Contraction::Across => {
            for (found, row) in found.iter_mut().zip(axes) {
                *found = simd::dot(row, b);
            }
        }
    }
}

/// Rows that are worth a task of their own.
fn rows_of_chunk(columns: usize) -> usize {
    (CHUNK / columns.max(1)).max(1)
}

fn gather_rows<const C: usize>(values: &[f32], group_of: &[u32], rows: &mut [f32]) {
    let (values, _) = values.as_chunks::<C>();
    let (rows, _) = rows.as_chunks_mut::<C>();
    for (row, &group) in rows.iter_mut().zip(group_of) {
        *row = values[group as usize];
    }
}

fn sum_rows<const C: usize>(grouping: &Grouping<Flex>, rows: &[f32], first: usize, sums: &mut [f32]) {
    let (rows, _) = rows.as_chunks::<C>();
    let (sums, _) = sums.as_chunks_mut::<C>();
    for (group, sum) in sums.iter_mut().enumerate() {
        // In double precision: a graph may have millions of atoms.
        let mut total = [0.0f64; C];
        for row in grouping.host.rows_of(first + group) {
            for (total, x) in total.iter_mut().zip(rows[row]) {
                *total += f64::from(x);
            }
        }
        *sum = total.map(|x| x as f32);
    }
}

struct SiluChunk<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
}

impl pulp::WithSimd for SiluChunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        for (y, x) in self.y.iter_mut().zip(self.x) {
            *y = simd::silu(*x);
        }
    }
}

struct SiluSlopeChunk<'a> {
    x: &'a [f32],
    gradient: &'a mut [f32],
}

impl pulp::WithSimd for SiluSlopeChunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        for (gradient, x) in self.gradient.iter_mut().zip(self.x) {
            *gradient *= simd::silu_and_slope(*x).1;
        }
    }
}

struct AdamwChunk<'a> {
    step: &'a AdamwStep,
    rates: Rates,
    values: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    gradient: &'a [f32],
}

impl pulp::WithSimd for AdamwChunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let Rates { decay, rate, epsilon } = self.rates;
        let [beta_1, beta_2] = [self.step.beta_1, self.step.beta_2].map(|beta| beta as f32);
        // One less the rounded beta would miss the last digits of a beta near one.
        let [rest_1, rest_2] = [self.step.beta_1, self.step.beta_2].map(|beta| (1.0 - beta) as f32);
        let scale = self.step.gradient_scale as f32;
        let moments = self.first.iter_mut().zip(self.second);
        for ((x, (m, v)), g) in self.values.iter_mut().zip(moments).zip(self.gradient) {
            let g = scale * g;
            *m = beta_1 * *m + rest_1 * g;
            *v = beta_2 * *v + rest_2 * g * g;
            *x -= decay * *x + rate * *m / (v.sqrt() + epsilon);
        }
    }
}
