//! Positions, cells and periodicity, and the little lattice geometry the neighbour list needs.

use nalgebra::{Matrix3, Vector3};

/// Lattice vectors as rows, in angstrom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell(pub [[f64; 3]; 3]);

impl Cell {
    /// The matrix whose rows are the lattice vectors.
    pub fn matrix(&self) -> Matrix3<f64> {
        Matrix3::from_fn(|row, column| self.0[row][column])
    }

    /// Volume in cubic angstrom, never negative.
    pub fn volume(&self) -> f64 {
        self.matrix().determinant().abs()
    }

    /// The vector `n_1 a_1 + n_2 a_2 + n_3 a_3`.
    pub fn translation(&self, n: [i32; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| (0..3).map(|k| f64::from(n[k]) * self.0[k][axis]).sum())
    }
}

/// Where the atoms are: positions `[N, 3]`, an optional cell, and which directions repeat.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Geometry {
    /// Positions in angstrom, one per atom; they need not lie inside the cell.
    pub positions: Vec<[f64; 3]>,
    /// Lattice vectors as rows; those of directions that do not repeat may be zero.
    pub cell: Option<Cell>,
    /// Which lattice directions repeat.
    pub periodic: [bool; 3],
}

impl Geometry {
    /// A lattice that spans space: periodic directions keep their vector; every other direction
    /// gets a unit vector perpendicular to the periodic ones.
    ///
    /// Returns `None` if periodic lattice vectors are missing, not finite, or linearly dependent.
    pub fn spanning_lattice(&self) -> Option<Matrix3<f64>> {
        let given = self.cell.map_or_else(Matrix3::zeros, |cell| cell.matrix());
        let mut rows: [Vector3<f64>; 3] = std::array::from_fn(|k| given.row(k).transpose());
        let mut basis: Vec<Vector3<f64>> = Vec::new();
        for k in (0..3).filter(|&k| self.periodic[k]) {
            let residual = basis.iter().fold(rows[k], |v, b| v - b * b.dot(&v));
            // NaN counts as flat too.
            if residual.norm().total_cmp(&(1e-6 * rows[k].norm().max(1e-6))).is_le() || !residual.norm().is_finite() {
                return None;
            }
            basis.push(residual.normalize());
        }
        for k in (0..3).filter(|&k| !self.periodic[k]) {
            let complement = |axis: Vector3<f64>| basis.iter().fold(axis, |v, b| v - b * b.dot(&v));
            let axes = [0, 1, 2].map(|turn| Vector3::ith((k + turn) % 3, 1.0));
            let best = axes.map(complement).into_iter().max_by(|a, b| a.norm().total_cmp(&b.norm()))?;
            rows[k] = best.normalize();
            basis.push(rows[k]);
        }
        let lattice = Matrix3::from_rows(&rows.map(|row| row.transpose()));
        lattice.iter().all(|value| value.is_finite()).then_some(lattice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_directions_are_completed_at_right_angles() {
        let cell = Cell([[3.0, 0.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.0, 0.0]]);
        let geometry = Geometry { cell: Some(cell), periodic: [true, true, false], ..Default::default() };
        let lattice = geometry.spanning_lattice().unwrap();
        let row = |k: usize| lattice.row(k).transpose();
        assert!((row(2).norm() - 1.0).abs() < 1e-12);
        assert!(row(2).dot(&row(0)).abs() < 1e-12 && row(2).dot(&row(1)).abs() < 1e-12);
        let free = Geometry::default().spanning_lattice().unwrap();
        assert!((free * free.transpose() - Matrix3::identity()).norm() < 1e-12);
    }

    #[test]
    fn flat_periodic_cells_are_refused() {
        let cell = Cell([[3.0, 0.0, 0.0], [6.0, 0.0, 0.0], [0.0, 0.0, 5.0]]);
        let geometry = Geometry { cell: Some(cell), periodic: [true; 3], ..Default::default() };
        assert_eq!(geometry.spanning_lattice(), None);
        assert_eq!(Geometry { periodic: [true; 3], ..Default::default() }.spanning_lattice(), None);
    }
}
