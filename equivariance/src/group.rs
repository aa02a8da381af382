//! Random elements of the groups: O(n), permutations, changes of lattice basis; and strains.

use nalgebra::DMatrix;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

/// A matrix from the Haar measure of O(n): QR of a Gaussian matrix with the signs of R's diagonal
/// moved into Q (Mezzadri 2007, arXiv:math-ph/0609050).
pub fn orthogonal(dimensions: usize, rng: &mut impl Rng) -> DMatrix<f64> {
    orthogonalised(DMatrix::from_fn(dimensions, dimensions, |_, _| rng.sample(StandardNormal)))
}

/// The orthogonal factor of a matrix, its signs fixed by a positive diagonal of the other factor.
pub fn orthogonalised(matrix: DMatrix<f64>) -> DMatrix<f64> {
    let (mut q, r) = matrix.qr().unpack();
    for column in 0..q.ncols() {
        if r[(column, column)] < 0.0 {
            q.column_mut(column).neg_mut();
        }
    }
    q
}

/// A Haar-random rotation: determinant 1.
pub fn rotation(dimensions: usize, rng: &mut impl Rng) -> DMatrix<f64> {
    with_determinant(orthogonal(dimensions, rng), 1.0)
}

/// A Haar-random element of O(n) that changes handedness: determinant -1.
pub fn reflection(dimensions: usize, rng: &mut impl Rng) -> DMatrix<f64> {
    with_determinant(orthogonal(dimensions, rng), -1.0)
}

/// Turns one column of an orthogonal matrix round if it has the other determinant.
pub(crate) fn with_determinant(mut matrix: DMatrix<f64>, sign: f64) -> DMatrix<f64> {
    if matrix.determinant() * sign < 0.0 {
        matrix.column_mut(0).neg_mut();
    }
    matrix
}

/// A random symmetric matrix whose squares add up to one, from a distribution that no rotation changes.
pub fn strain(dimensions: usize, rng: &mut impl Rng) -> DMatrix<f64> {
    let matrix = DMatrix::<f64>::from_fn(dimensions, dimensions, |_, _| rng.sample(StandardNormal));
    let symmetric = &matrix + matrix.transpose();
    let norm = symmetric.norm();
    symmetric / norm
}

/// A uniform permutation of `0..n`.
pub fn permutation(n: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(rng);
    order
}

/// An integer matrix of determinant 1 or -1 between the lattice vectors in `mixed`; the others stay.
/// Made of `steps` shears and swaps.
pub fn unimodular(mixed: &[bool], steps: usize, rng: &mut impl Rng) -> Vec<Vec<i32>> {
    let size = mixed.len();
    let axes: Vec<usize> = (0..size).filter(|&axis| mixed[axis]).collect();
    let mut matrix: Vec<Vec<i32>> = (0..size).map(|i| (0..size).map(|j| i32::from(i == j)).collect()).collect();
    match axes.as_slice() {
        [] => {}
        [only] => matrix[*only][*only] = -1,
        _ => {
            for _ in 0..steps {
                let pair: Vec<usize> = permutation(axes.len(), rng).into_iter().take(2).map(|k| axes[k]).collect();
                let (target, source) = (pair[0], pair[1]);
                if rng.random_bool(0.25) {
                    matrix.swap(target, source);
                } else {
                    let sign = if rng.random_bool(0.5) { 1 } else { -1 };
                    let row = matrix[source].clone();
                    for (value, other) in matrix[target].iter_mut().zip(row) {
                        *value += sign * other;
                    }
                }
            }
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn matrices_are_orthogonal_with_the_right_determinant() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        for dimensions in 1..=5 {
            for _ in 0..50 {
                for (matrix, sign) in [(rotation(dimensions, rng), 1.0), (reflection(dimensions, rng), -1.0)] {
                    let identity = DMatrix::identity(dimensions, dimensions);
                    assert_relative_eq!(&matrix * matrix.transpose(), identity, epsilon = 1e-13);
                    assert_relative_eq!(matrix.determinant(), sign, epsilon = 1e-12);
                }
            }
        }
    }

    /// Moments of the Haar measure: the mean of every entry is 0, of its square 1/n, and of the trace
    /// squared 1, as for no other distribution on the group. Without the fixed sign they differ.
    #[test]
    fn the_distribution_is_haar() {
        let rng = &mut ChaCha8Rng::seed_from_u64(2);
        let samples = 20_000;
        for n in [2, 3] {
            let (mut mean, mut square, mut trace) = (0.0, 0.0, 0.0);
            for _ in 0..samples {
                let q = orthogonal(n, rng);
                mean += q[(0, 0)] / f64::from(samples);
                square += q[(n - 1, 0)].powi(2) / f64::from(samples);
                trace += q.trace().powi(2) / f64::from(samples);
            }
            assert!(mean.abs() < 0.02, "{mean}");
            assert!((square - 1.0 / n as f64).abs() < 0.02, "{square}");
            assert!((trace - 1.0).abs() < 0.05, "{trace}");
        }
    }

    #[test]
    fn lattice_changes_have_determinant_one_and_leave_fixed_axes_alone() {
        let rng = &mut ChaCha8Rng::seed_from_u64(3);
        for _ in 0..200 {
            let matrix = unimodular(&[true, false, true], 4, rng);
            let real = DMatrix::from_fn(3, 3, |i, j| f64::from(matrix[i][j]));
            assert_relative_eq!(real.determinant().abs(), 1.0, epsilon = 1e-9);
            assert_eq!(matrix[1], [0, 1, 0]);
            assert_eq!((matrix[0][1], matrix[2][1]), (0, 0));
        }
    }
}
