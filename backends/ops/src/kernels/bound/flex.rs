//! The operation and its gradients on the CPU: a pass over the components of each row for what they add up to, and one for
//! the result.

use burn::tensor::DType;
use burn_flex::Flex;
use rayon::prelude::*;

use super::reference;
use crate::dual::Dual;
use crate::host::parts::with_scratch;
use crate::host::{DualValues, dual_from_values};

/// Numbers that are worth a task of their own.
const TASK: usize = 1 << 14;

/// See [`KernelBackend::bound`](crate::kernels::KernelBackend::bound).
pub(in crate::kernels) fn bound(components: usize, x: Dual<Flex>) -> Dual<Flex> {
    let [rows, columns] = x.value.dims();
    if x.value.dtype() != DType::F32 || rows * columns == 0 {
        return reference::bound(components, x);
    }
    let work = Work::new(components, columns);
    if x.tangent.is_some() { work.forward::<2>(&x) } else { work.forward::<1>(&x) }
}

/// See [`KernelBackend::bound_backward`](crate::kernels::KernelBackend::bound_backward).
pub(in crate::kernels) fn bound_backward(components: usize, x: Dual<Flex>, gradient: Dual<Flex>) -> Dual<Flex> {
    let [rows, columns] = x.value.dims();
    if x.value.dtype() != DType::F32 || rows * columns == 0 {
        return reference::bound_backward(components, x, gradient);
    }
    let work = Work::new(components, columns);
    if gradient.tangent.is_some() { work.backward::<2>(&x, &gradient) } else { work.backward::<1>(&x, &gradient) }
}

struct Work {
    components: usize,
    columns: usize,
}

impl Work {
    fn new(components: usize, columns: usize) -> Self {
        assert!(columns.is_multiple_of(components), "bound: {columns} columns of {components} components");
        Self { components, columns }
    }
}

/// A row, and with D = 2 its tangent.
type Row<'a, const D: usize> = [&'a [f32]; D];

impl Work {
    fn forward<const D: usize>(&self, x: &Dual<Flex>) -> Dual<Flex> {
        let shape = x.value.dims();
        let x = DualValues::new(x, D == 2);
        let x: Row<'_, D> = x.get();
        self.rows(shape, |row, found| self.forward_row(self.row(x, row), found))
    }

    fn backward<const D: usize>(&self, x: &Dual<Flex>, gradient: &Dual<Flex>) -> Dual<Flex> {
        let shape = x.value.dims();
        let (x, gradient) = (DualValues::new(x, D == 2), DualValues::new(gradient, D == 2));
        let (x, gradient): (Row<'_, D>, Row<'_, D>) = (x.get(), gradient.get());
        self.rows(shape, |row, found| self.backward_row(self.row(x, row), self.row(gradient, row), found))
    }

    #[inline(always)]
    fn row<'a, const D: usize>(&self, all: Row<'a, D>, row: usize) -> Row<'a, D> {
        all.map(|all| &all[row * self.columns..][..self.columns])
    }

    /// Rows of a result, side by side where there are many.
    fn rows<const D: usize>(&self, shape: [usize; 2], work: impl Fn(usize, [&mut [f32]; D]) + Sync) -> Dual<Flex> {
        let mut found: [Vec<f32>; D] = std::array::from_fn(|_| vec![0.0; shape[0] * shape[1]]);
        let chunk = (TASK / self.columns).max(1) * self.columns;
        let mut parts: Vec<[&mut [f32]; D]> = Vec::new();
        let mut chunks = found.each_mut().map(|found| found.chunks_mut(chunk));
        for _ in 0..(shape[0] * shape[1]).div_ceil(chunk) {
            parts.push(chunks.each_mut().map(|chunks| chunks.next().unwrap_or_default()));
        }
        let arch = pulp::Arch::new();
        let of = |(part, found): (usize, [&mut [f32]; D])| {
            arch.dispatch(|| {
                let first = part * chunk / self.columns;
                let mut rows = found.map(|found| found.chunks_exact_mut(self.columns));
                for row in first..first + chunk / self.columns {
                    let found = rows.each_mut().map(|rows| rows.next().unwrap_or_default());
                    if found[0].is_empty() {
                        break;
                    }
                    work(row, found);
                }
            });
        };
        match parts.len() {
            1 => parts.into_iter().enumerate().for_each(of),
            _ => parts.into_par_iter().enumerate().for_each(of),
        }
        dual_from_values(found, shape)
    }

    #[inline(always)]
    fn channels(&self) -> usize {
        self.columns / self.components
    }

    /// Adds products of two rows up over components.
    #[inline(always)]
    fn dot(&self, sum: &mut [f32], a: &[f32], b: &[f32]) {
        for (a, b) in a.chunks_exact(sum.len()).zip(b.chunks_exact(sum.len())) {
            for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
                *sum += a * b;
            }
        }
    }

    #[inline(always)]
    fn forward_row<const D: usize>(&self, x: Row<'_, D>, mut found: [&mut [f32]; D]) {
        let (channels, share) = (self.channels(), 1.0 / self.components as f32);
        with_sums(channels, |[s, bend]: [&mut [f32]; 2]| {
            self.dot(s, x[0], x[0]);
            if D == 2 {
                self.dot(bend, x[0], x[1]);
            }
            for (s, bend) in s.iter_mut().zip(bend.iter_mut()) {
                *s = (1.0 + *s * share).sqrt().recip();
                *bend *= share * *s * *s * *s;
            }
            for m in 0..self.components {
                let place = m * channels..(m + 1) * channels;
                let value = x[0][place.clone()].iter().zip(s.iter());
                found[0][place.clone()].iter_mut().zip(value).for_each(|(y, (x, s))| *y = x * s);
                if D == 2 {
                    let read = x[0][place.clone()].iter().zip(&x[1][place.clone()]).zip(s.iter().zip(bend.iter()));
                    let out = found[1][place].iter_mut().zip(read);
                    out.for_each(|(y, ((x, along), (s, bend)))| *y = along * s - x * bend);
                }
            }
        });
    }

    #[inline(always)]
    fn backward_row<const D: usize>(&self, x: Row<'_, D>, gradient: Row<'_, D>, mut found: [&mut [f32]; D]) {
        let (channels, share) = (self.channels(), 1.0 / self.components as f32);
        with_sums(channels, |[s, cube, of_x, of_along]: [&mut [f32]; 4]| {
            let [g, h] = [gradient[0], gradient[D - 1]];
            // `cube` is first b, `of_along` first h.x.
            self.dot(s, x[0], x[0]);
            self.dot(of_x, g, x[0]);
            if D == 2 {
                self.dot(of_x, h, x[1]);
                self.dot(of_along, h, x[0]);
                self.dot(cube, x[0], x[1]);
            }
            let sums = s.iter_mut().zip(cube.iter_mut()).zip(of_x.iter_mut().zip(of_along.iter_mut()));
            for ((s, cube), (of_x, of_along)) in sums {
                *s = (1.0 + *s * share).sqrt().recip();
                let (b, third) = (*cube * share, *s * *s * *s);
                *of_x = share * third * (3.0 * *s * *s * b * *of_along - *of_x);
                *of_along *= share * third;
                *cube = third * b;
            }
            for m in 0..self.components {
                let part = m * channels..(m + 1) * channels;
                let (value, [x0, x1]) = (&mut found[0][part.clone()], [&x[0][part.clone()], &x[D - 1][part.clone()]]);
                let (g, h) = (&g[part.clone()], &h[part.clone()]);
                let read = s.iter().zip(g).zip(of_x.iter().zip(x0));
                value.iter_mut().zip(read).for_each(|(value, ((s, g), (of_x, x)))| *value = s * g + of_x * x);
                if D == 2 {
                    let read = of_along.iter().zip(x1).zip(cube.iter().zip(h));
                    let out = value.iter_mut().zip(read);
                    out.for_each(|(value, ((of_along, x), (cube, h)))| *value -= of_along * x + cube * h);
                    let read = s.iter().zip(h).zip(of_along.iter().zip(x0));
                    let out = found[1][part].iter_mut().zip(read);
                    out.for_each(|(change, ((s, h), (of_along, x)))| *change = s * h - of_along * x);
                }
            }
        });
    }
}

/// Zeros, for each of N sums over components.
#[inline(always)]
fn with_sums<const N: usize>(channels: usize, work: impl FnOnce([&mut [f32]; N])) {
    with_scratch(channels, |mut sums: [&mut [f32]; N]| {
        sums.iter_mut().for_each(|sums| sums.fill(0.0));
        work(sums);
    });
}
