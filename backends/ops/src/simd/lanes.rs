//! Dual numbers in vector registers: values, and with D = 2 their tangents, which products treat by the rule
//! `(a + e a') (b + e b') = a b + e (a' b + a b')`. With D = 1 they are ordinary numbers.

use pulp::Simd;

/// U registers of values, and with D = 2 as many of their tangents.
#[derive(Clone, Copy)]
pub(crate) struct Lanes<S: Simd, const D: usize, const U: usize>([[S::f32s; U]; D]);

/// Rows of values, and with D = 2 those of their tangents.
pub(crate) type Of<'a, const D: usize> = [&'a [f32]; D];

/// The same, to be written.
pub(crate) type Into<'a, const D: usize> = [&'a mut [f32]; D];

/// Where lanes lie in a row: from `start` on, `count` numbers, which fill U registers or less than one.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) start: usize,
    pub(crate) count: usize,
}

#[inline(always)]
fn read<S: Simd>(simd: S, row: &[f32], start: usize, count: usize) -> S::f32s {
    let row = &row[start..start + count];
    if count == S::F32_LANES {
        bytemuck::pod_read_unaligned(bytemuck::cast_slice(row))
    } else {
        simd.partial_load_f32s(row)
    }
}

#[inline(always)]
fn write<S: Simd>(simd: S, row: &mut [f32], start: usize, count: usize, lanes: S::f32s) {
    let row = &mut row[start..start + count];
    if count == S::F32_LANES {
        bytemuck::cast_slice_mut(row).copy_from_slice(bytemuck::bytes_of(&lanes));
    } else {
        simd.partial_store_f32s(row, lanes);
    }
}

impl<S: Simd, const D: usize, const U: usize> Lanes<S, D, U> {
    #[inline(always)]
    pub(crate) fn zero(simd: S) -> Self {
        Self([[simd.splat_f32s(0.0); U]; D])
    }

    #[inline(always)]
    pub(crate) fn load(simd: S, rows: &Of<'_, D>, place: Place) -> Self {
        let mut lanes = Self::zero(simd);
        for (own, row) in lanes.0.iter_mut().zip(rows) {
            for (u, own) in own.iter_mut().enumerate() {
                let (start, count) = part::<S, U>(place, u);
                *own = read(simd, row, start, count);
            }
        }
        lanes
    }

    #[inline(always)]
    pub(crate) fn store(self, simd: S, rows: &mut Into<'_, D>, place: Place) {
        for (own, row) in self.0.into_iter().zip(rows) {
            for (u, own) in own.into_iter().enumerate() {
                let (start, count) = part::<S, U>(place, u);
                write(simd, row, start, count, own);
            }
        }
    }

    /// `self += rows`, and the sum to the rows.
    #[inline(always)]
    pub(crate) fn add_into(self, simd: S, rows: &mut Into<'_, D>, place: Place) {
        for (own, row) in self.0.into_iter().zip(rows) {
            for (u, own) in own.into_iter().enumerate() {
                let (start, count) = part::<S, U>(place, u);
                let old = read(simd, row, start, count);
                write(simd, row, start, count, simd.add_f32s(old, own));
            }
        }
    }

    /// `self += a b`.
    #[inline(always)]
    pub(crate) fn add_product(&mut self, simd: S, a: &Self, b: &Self) {
        for u in 0..U {
            self.0[0][u] = simd.mul_add_e_f32s(a.0[0][u], b.0[0][u], self.0[0][u]);
            if D == 2 {
                let tangent = simd.mul_add_e_f32s(a.0[1][u], b.0[0][u], self.0[1][u]);
                self.0[1][u] = simd.mul_add_e_f32s(a.0[0][u], b.0[1][u], tangent);
            }
        }
    }

    /// `self += a s` of a dual number s.
    #[inline(always)]
    pub(crate) fn add_scaled(&mut self, simd: S, a: &Self, s: [f32; D]) {
        let s = s.map(|s| simd.splat_f32s(s));
        for u in 0..U {
            self.0[0][u] = simd.mul_add_e_f32s(a.0[0][u], s[0], self.0[0][u]);
            if D == 2 {
                let tangent = simd.mul_add_e_f32s(a.0[1][u], s[0], self.0[1][u]);
                self.0[1][u] = simd.mul_add_e_f32s(a.0[0][u], s[1], tangent);
            }
        }
    }

    /// `self += a s` of a number s without a tangent.
    #[inline(always)]
    pub(crate) fn add_multiple(&mut self, simd: S, a: &Self, s: f32) {
        let s = simd.splat_f32s(s);
        for d in 0..D {
            for u in 0..U {
                self.0[d][u] = simd.mul_add_e_f32s(a.0[d][u], s, self.0[d][u]);
            }
        }
    }

    /// `self += w s` of numbers w without tangents and a dual number s.
    #[inline(always)]
    pub(crate) fn add_spread(&mut self, simd: S, w: &Lanes<S, 1, U>, s: [f32; D]) {
        for d in 0..D {
            let s = simd.splat_f32s(s[d]);
            for u in 0..U {
                self.0[d][u] = simd.mul_add_e_f32s(w.0[0][u], s, self.0[d][u]);
            }
        }
    }

    #[inline(always)]
    pub(crate) fn product(simd: S, a: &Self, b: &Self) -> Self {
        let mut lanes = Self::zero(simd);
        for u in 0..U {
            lanes.0[0][u] = simd.mul_f32s(a.0[0][u], b.0[0][u]);
            if D == 2 {
                let tangent = simd.mul_f32s(a.0[1][u], b.0[0][u]);
                lanes.0[1][u] = simd.mul_add_e_f32s(a.0[0][u], b.0[1][u], tangent);
            }
        }
        lanes
    }

    /// `sum += a b`, in one register.
    #[inline(always)]
    pub(crate) fn dot_into(&self, simd: S, b: &Self, sum: &mut [S::f32s; D]) {
        for u in 0..U {
            sum[0] = simd.mul_add_e_f32s(self.0[0][u], b.0[0][u], sum[0]);
            if D == 2 {
                let tangent = simd.mul_add_e_f32s(self.0[1][u], b.0[0][u], sum[1]);
                sum[1] = simd.mul_add_e_f32s(self.0[0][u], b.0[1][u], tangent);
            }
        }
    }
}

#[inline(always)]
fn part<S: Simd, const U: usize>(place: Place, u: usize) -> (usize, usize) {
    if U == 1 { (place.start, place.count) } else { (place.start + u * S::F32_LANES, S::F32_LANES) }
}

/// Where the channels of a row are computed together: two registers at a time, then one, then what is left.
#[inline(always)]
pub(crate) fn places<S: Simd>(channels: usize) -> impl Iterator<Item = Place> {
    let lanes = S::F32_LANES;
    let mut start = 0;
    std::iter::from_fn(move || {
        let left = channels - start;
        let place = Place { start, count: if left >= 2 * lanes { 2 * lanes } else { left.min(lanes) } };
        start += place.count;
        (place.count > 0).then_some(place)
    })
}

impl Place {
    /// Whether it fills two registers.
    #[inline(always)]
    pub(crate) fn is_double<S: Simd>(self) -> bool {
        self.count > S::F32_LANES
    }
}
