//! The operation on the CPU: a pass over the terms for each row, in vector registers, rows in parallel.

use burn::tensor::DType;
use burn_flex::Flex;
use pulp::Simd;
use rayon::prelude::*;

use super::{Rows, Slot, Table, reference};
use crate::dual::Dual;
use crate::host::{DualValues, dual_from_values};
use crate::simd::lanes::{Into, Lanes, Of, Place, places};

/// Numbers of terms times channels that are worth a task of their own.
const TASK: usize = 1 << 15;

/// See [`KernelBackend::tensor_product`](crate::kernels::KernelBackend::tensor_product).
pub(in crate::kernels) fn tensor_product(table: &Table, missing: Slot, factors: [Dual<Flex>; 3]) -> Dual<Flex> {
    let [rows, channels] = table.channels(missing, &factors);
    if rows == 0 || factors[0].value.dtype() != DType::F32 {
        return reference::tensor_product(table, missing, factors);
    }
    let dual = factors.iter().any(|factor| factor.tangent.is_some());
    let values = factors.each_ref().map(|factor| DualValues::new(factor, dual));
    let terms = channels * table.terms().len();
    let work = Work { rows: table.rows(missing), channels, chunk: (TASK / terms.max(1)).max(1) };
    let shape = [rows, table.size(missing) * channels];
    if dual { work.run::<2>(shape, &values) } else { work.run::<1>(shape, &values) }
}

struct Work<'a> {
    rows: &'a Rows,
    channels: usize,
    /// Rows of a task.
    chunk: usize,
}

impl Work<'_> {
    /// With D = 2 of values and tangents.
    fn run<const D: usize>(&self, shape: [usize; 2], factors: &[DualValues; 3]) -> Dual<Flex> {
        let [count, columns] = shape;
        let mut found: [Vec<f32>; D] = std::array::from_fn(|_| vec![0.0; count * columns]);
        if columns > 0 {
            self.fill(columns, factors.each_ref().map(DualValues::get), found.each_mut().map(Vec::as_mut_slice));
        }
        dual_from_values(found, shape)
    }

    fn fill<const D: usize>(&self, columns: usize, factors: [Of<'_, D>; 3], out: Into<'_, D>) {
        let size = self.chunk * columns;
        let count = out[0].len() / columns;
        let strides = factors.each_ref().map(|parts| parts[0].len() / count);
        let mut parts: Vec<[&mut [f32]; D]> = Vec::with_capacity(count.div_ceil(self.chunk));
        let mut chunks = out.map(|out| out.chunks_mut(size));
        for _ in 0..count.div_ceil(self.chunk) {
            parts.push(chunks.each_mut().map(|chunks| chunks.next().unwrap_or_default()));
        }
        let arch = pulp::Arch::new();
        if parts.len() == 1 {
            parts
                .into_iter()
                .for_each(|out| arch.dispatch(Chunk { work: self, strides, start: 0, columns, factors, out }));
            return;
        }
        parts.into_par_iter().enumerate().for_each(|(k, out)| {
            let start = k * self.chunk;
            arch.dispatch(Chunk { work: self, strides, start, columns, factors, out });
        });
    }
}

struct Chunk<'a, const D: usize> {
    work: &'a Work<'a>,
    /// Numbers of a row of each factor.
    strides: [usize; 3],
    start: usize,
    columns: usize,
    factors: [Of<'a, D>; 3],
    out: [&'a mut [f32]; D],
}

impl<const D: usize> pulp::WithSimd for Chunk<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, strides, start, columns, factors, mut out } = self;
        let count = out[0].len() / columns;
        for k in 0..count {
            let of = |factor: usize| -> Of<'_, D> {
                factors[factor].map(|values| &values[(start + k) * strides[factor]..][..strides[factor]])
            };
            let of = [of(0), of(1), of(2)];
            let mut out: Into<'_, D> = out.each_mut().map(|out| &mut out[k * columns..][..columns]);
            for place in places::<S>(work.channels) {
                if place.is_double::<S>() {
                    row::<S, D, 2>(simd, work, &of, &mut out, place);
                } else {
                    row::<S, D, 1>(simd, work, &of, &mut out, place);
                }
            }
        }
    }
}

/// Some channels of a row.
#[inline(always)]
fn row<S: Simd, const D: usize, const U: usize>(
    simd: S,
    work: &Work<'_>,
    [x, y, z]: &[Of<'_, D>; 3],
    out: &mut Into<'_, D>,
    place: Place,
) {
    let Work { rows, channels, .. } = *work;
    let at = |component: u32| Place { start: component as usize * channels + place.start, ..place };
    let (mut groups, mut terms) = (rows.groups.iter(), rows.terms.iter());
    for run in &rows.runs {
        let mut sum = Lanes::<S, D, U>::zero(simd);
        for group in groups.by_ref().take(run.groups as usize) {
            let mut inner = Lanes::<S, D, U>::zero(simd);
            for &(second, third, factor) in terms.by_ref().take(group.terms as usize) {
                let product = Lanes::product(simd, &Lanes::load(simd, y, at(second)), &Lanes::load(simd, z, at(third)));
                inner.add_multiple(simd, &product, factor);
            }
            sum.add_product(simd, &Lanes::load(simd, x, at(group.first)), &inner);
        }
        sum.store(simd, out, at(run.out));
    }
}
