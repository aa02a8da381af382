//! Small row-major matrices: products by the `gemm` crate, on one thread, since tiles run in parallel; transposes.
#![allow(unsafe_code, reason = "gemm takes pointers; lengths are asserted before")]

use gemm::Parallelism;
use rayon::prelude::*;

/// A row-major matrix, or its transpose.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// From one row to the next.
    stride: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// `[rows, columns]`.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "Matrix: {rows} by {columns}");
        Self::within(values, rows, columns, columns)
    }

    /// `[rows, columns]`, whose rows begin every `stride` values.
    pub(crate) fn within(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(values.len() >= reach(rows, columns, stride), "Matrix: {rows} by {columns}, rows {stride} apart");
        Self { values, rows, columns, stride, transposed: false }
    }

    /// As many rows of `columns` values as there are.
    pub(crate) fn rows(values: &'a [f32], columns: usize) -> Self {
        Self::new(values, values.len() / columns.max(1), columns)
    }

    /// The transpose, `[columns, rows]`.
    pub(crate) fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn shape(&self) -> (usize, usize) {
        if self.transposed { (self.columns, self.rows) } else { (self.rows, self.columns) }
    }

    /// Distance in memory from one column to the next, and from one row to the next.
    fn strides(&self) -> (isize, isize) {
        let stride = self.stride as isize;
        if self.transposed { (stride, 1) } else { (1, stride) }
    }
}

/// Values from the first to the last of a matrix whose rows begin every `stride` values.
fn reach(rows: usize, columns: usize, stride: usize) -> usize {
    assert!(stride >= columns, "Matrix: rows of {columns} values overlap {stride} apart");
    if rows == 0 { 0 } else { (rows - 1) * stride + columns }
}

/// What becomes of the old values of a product's target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Old {
    Dropped,
    Added,
}

/// `target = a b`, or `target += a b`; `target` is row-major.
///
/// # Panics
/// If shapes do not fit.
pub(crate) fn product(target: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, old: Old) {
    let ((m, _), (_, n)) = (a.shape(), b.shape());
    assert_eq!(target.len(), m * n, "product: target of {m} by {n}");
    product_within(target, n, a, b, old);
}

/// The same into rows that begin every `stride` values.
///
/// # Panics
/// If shapes do not fit.
pub(crate) fn product_within(target: &mut [f32], stride: usize, a: Matrix<'_>, b: Matrix<'_>, old: Old) {
    let ((m, k), (inner, n)) = (a.shape(), b.shape());
    assert_eq!(k, inner, "product: inner sizes");
    assert!(target.len() >= reach(m, n, stride), "product: target of {m} by {n}, rows {stride} apart");
    let ((a_column, a_row), (b_column, b_row)) = (a.strides(), b.strides());
    // SAFETY: the slices have the lengths that shapes and strides say (asserted here and in
    // `Matrix::within`), and `target` is borrowed mutably, so it overlaps neither factor.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            target.as_mut_ptr(),
            1,
            stride as isize,
            old == Old::Added,
            a.values.as_ptr(),
            a_column,
            a_row,
            b.values.as_ptr(),
            b_column,
            b_row,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Values of a matrix of weights that are worth a task of their own.
pub(crate) const CHUNK: usize = 1 << 15;

/// The transpose of a square matrix.
pub(crate) fn transposed(values: &[f32], size: usize) -> Vec<f32> {
    let mut columns = vec![0.0; values.len()];
    let outs = columns.par_chunks_mut(size.max(1)).with_min_len(CHUNK / size.max(1));
    outs.enumerate().for_each(|(column, out)| {
        for (to, row) in out.iter_mut().zip(values.chunks_exact(size)) {
            *to = row[column];
        }
    });
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_transposes() {
        // [[1 2 3] [4 5 6]]
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [1.0, 0.0, 2.0, 1.0, 0.0, 1.0];
        let mut c = [0.0; 4];
        product(&mut c, Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 2), Old::Dropped);
        assert_eq!(c, [5.0, 5.0, 14.0, 11.0]);
        product(&mut c, Matrix::new(&a, 2, 3), Matrix::new(&a, 2, 3).t(), Old::Added);
        assert_eq!(c, [19.0, 37.0, 46.0, 88.0]);
        let mut d = [0.0; 9];
        product(&mut d, Matrix::new(&a, 2, 3).t(), Matrix::new(&b, 3, 2).t().t().t(), Old::Dropped);
        assert_eq!(d[..3], [1.0, 2.0 + 4.0, 4.0]);
    }

    #[test]
    fn products_within_longer_rows() {
        // Columns 1 and 2 of two rows of three.
        let a = [9.0, 1.0, 2.0, 9.0, 3.0, 4.0];
        let mut c = [7.0; 5];
        let a = Matrix::within(&a[1..], 2, 2, 3);
        product_within(&mut c, 3, a, Matrix::new(&[1.0, 0.0, 0.0, 2.0], 2, 2), Old::Dropped);
        assert_eq!(c, [1.0, 4.0, 7.0, 3.0, 8.0]);
    }
}
