//! Host arrays with one row per node.

use nalgebra::{DMatrix, DVectorView};
use serde::{Deserialize, Serialize};

/// A row-major array, `[rows, columns]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    columns: usize,
    values: Vec<f64>,
}

impl Rows {
    /// An array from its values, row after row.
    ///
    /// # Panics
    /// If `columns` does not divide the number of values.
    pub fn new(columns: usize, values: Vec<f64>) -> Self {
        let whole = if columns == 0 { values.is_empty() } else { values.len().is_multiple_of(columns) };
        assert!(whole, "Rows: {} values in rows of {columns}", values.len());
        Self { columns, values }
    }

    /// An array without rows.
    pub fn empty(columns: usize) -> Self {
        Self { columns, values: Vec::new() }
    }

    /// One value for every row and column.
    pub fn from_fn(rows: usize, columns: usize, mut value: impl FnMut(usize, usize) -> f64) -> Self {
        let values = (0..rows * columns).map(|k| value(k / columns, k % columns)).collect();
        Self { columns, values }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    /// One row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.columns..][..self.columns]
    }

    /// One row, to be changed.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row_mut(&mut self, index: usize) -> &mut [f64] {
        &mut self.values[index * self.columns..][..self.columns]
    }

    /// The rows one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &[f64]> {
        (0..self.rows()).map(|index| self.row(index))
    }

    /// Puts a row at the end.
    ///
    /// # Panics
    /// If it has another number of columns.
    pub fn push(&mut self, row: &[f64]) {
        assert_eq!(row.len(), self.columns, "Rows: a row of {} into rows of {}", row.len(), self.columns);
        self.values.extend_from_slice(row);
    }

    /// The named rows, in their order.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self { columns: self.columns, values: rows.iter().flat_map(|&row| self.row(row)).copied().collect() }
    }

    /// Every row `x` as `M x`.
    pub fn mapped(&self, matrix: &DMatrix<f64>) -> Self {
        Self { columns: self.columns, values: map_blocks(matrix, &self.values) }
    }

    /// Every row moved by the same vector.
    pub fn moved(&self, by: &[f64]) -> Self {
        let mut moved = self.clone();
        for row in 0..moved.rows() {
            for (value, step) in moved.row_mut(row).iter_mut().zip(by) {
                *value += step;
            }
        }
        moved
    }

    /// As a matrix.
    pub fn matrix(&self) -> DMatrix<f64> {
        DMatrix::from_row_slice(self.rows(), self.columns, &self.values)
    }

    /// From a matrix.
    pub fn from_matrix(matrix: &DMatrix<f64>) -> Self {
        Self::from_fn(matrix.nrows(), matrix.ncols(), |row, column| matrix[(row, column)])
    }
}

/// Every block of D values `x` as `M x`.
pub(crate) fn map_blocks(matrix: &DMatrix<f64>, values: &[f64]) -> Vec<f64> {
    let size = matrix.ncols();
    values
        .chunks_exact(size)
        .flat_map(|block| (matrix * DVectorView::from_slice(block, size)).iter().copied().collect::<Vec<_>>())
        .collect()
}
