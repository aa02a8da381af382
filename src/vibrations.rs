//! Harmonic vibrations of a structure: eigenvalues of the mass-weighted Hessian of its energy.

use isograd_structure::Structure;
use isograd_train::{Error, Result};
use nalgebra::{DMatrix, DVector, SymmetricEigen, Vector3};

use crate::Potential;

/// Wavenumber in 1/cm of a squared angular frequency of 1 eV / (angstrom^2 dalton), from CODATA 2018.
const WAVENUMBER: f64 = 521.470_898;

/// Millielectronvolts of 1/cm.
const MILLIELECTRONVOLTS: f64 = 0.123_984_198;

/// One normal mode.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Mode {
    /// Wavenumber in 1/cm; negative where the frequency is imaginary, because the energy falls along the mode.
    pub wavenumber: f64,
    /// How atoms move, of length one in all.
    pub displacements: Vec<[f64; 3]>,
}

impl Mode {
    /// The energy of a quantum in meV; negative where the frequency is imaginary.
    pub fn energy(&self) -> f64 {
        MILLIELECTRONVOLTS * self.wavenumber
    }
}

/// The normal modes of a structure.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Vibrations {
    /// By wavenumber, without rigid motions: translations, and rotations of what is not periodic.
    pub modes: Vec<Mode>,
    /// The largest force on an atom in eV/angstrom. Modes are those of a minimum only where it is next to zero.
    pub largest_force: f64,
}

impl Potential {
    /// The harmonic vibrations of a structure; of a crystal those at the Gamma point. Takes a product with the Hessian for
    /// each coordinate.
    ///
    /// # Errors
    /// As [`Calculator::hessian_product`](crate::Calculator::hessian_product).
    pub fn vibrations(&self, structure: &Structure) -> Result<Vibrations> {
        let atoms = structure.len();
        let mut calculator = self.calculator();
        let found = calculator.evaluate(structure)?;
        let largest_force = found.forces.iter().map(|force| Vector3::from(*force).norm()).fold(0.0, f64::max);
        let mut hessian = DMatrix::zeros(3 * atoms, 3 * atoms);
        for column in 0..3 * atoms {
            let mut unit = vec![[0.0; 3]; atoms];
            unit[column / 3][column % 3] = 1.0;
            let product = calculator.hessian_product(structure, &unit)?;
            hessian.set_column(column, &DVector::from_column_slice(product.as_flattened()));
        }
        let masses: Vec<f64> = structure.elements.iter().map(|element| element.mass()).collect();
        let turns = structure.geometry.cell.is_none() || structure.geometry.periodic == [false; 3];
        let modes = normal_modes(&structure.geometry.positions, &masses, &hessian, turns)
            .ok_or_else(|| Error::Structure("has a Hessian that is not finite".into()))?;
        Ok(Vibrations { modes, largest_force })
    }
}

/// The modes of a Hessian in eV/angstrom^2, by wavenumber, without translations and with `turns` without rotations; `None`
/// where it is not finite.
fn normal_modes(positions: &[[f64; 3]], masses: &[f64], hessian: &DMatrix<f64>, turns: bool) -> Option<Vec<Mode>> {
    if !hessian.iter().all(|x| x.is_finite()) {
        return None;
    }
    let size = hessian.nrows();
    let roots = DVector::from_fn(size, |k, _| masses[k / 3].sqrt());
    // Rounding leaves the two halves a little apart.
    let weighted =
        DMatrix::from_fn(size, size, |a, b| 0.5 * (hessian[(a, b)] + hessian[(b, a)]) / (roots[a] * roots[b]));
    let rigid = rigid_motions(positions, masses, turns);
    let moves = &rigid * rigid.transpose();
    let others = DMatrix::identity(size, size) - &moves;
    // Rigid motions become the eigenvectors with the lowest eigenvalues by far, told apart from soft modes.
    let lowest = 1.0 + 2.0 * weighted.norm();
    let eigen = SymmetricEigen::new(&others * weighted * &others - moves * lowest);
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[a].total_cmp(&eigen.eigenvalues[b]));
    let mode = |&k: &usize| {
        let moved = eigen.eigenvectors.column(k).component_div(&roots).normalize();
        let square = eigen.eigenvalues[k];
        let wavenumber = WAVENUMBER * square.abs().sqrt().copysign(square);
        Mode { wavenumber, displacements: moved.as_slice().as_chunks().0.to_vec() }
    };
    Some(order[rigid.ncols()..].iter().map(mode).collect())
}

/// An orthonormal basis of the mass-weighted rigid motions, as columns: three translations, and with `turns` three rotations,
/// or two of atoms on a line.
fn rigid_motions(positions: &[[f64; 3]], masses: &[f64], turns: bool) -> DMatrix<f64> {
    let total: f64 = masses.iter().sum();
    let weighted = positions.iter().zip(masses).map(|(position, mass)| Vector3::from(*position) * *mass);
    let centre = weighted.sum::<Vector3<f64>>() / total;
    let axes = [Vector3::x(), Vector3::y(), Vector3::z()];
    let column = |of: &dyn Fn(Vector3<f64>) -> Vector3<f64>| {
        let moved = positions.iter().zip(masses).flat_map(|(x, mass)| {
            let moved = of(Vector3::from(*x)) * mass.sqrt();
            [moved.x, moved.y, moved.z]
        });
        DVector::from_iterator(3 * positions.len(), moved)
    };
    let mut columns: Vec<DVector<f64>> = axes.iter().map(|axis| column(&|_| *axis)).collect();
    if turns {
        columns.extend(axes.iter().map(|axis| column(&|x| axis.cross(&(x - centre)))));
    }
    let mut basis: Vec<DVector<f64>> = Vec::new();
    for column in columns {
        let size = column.norm();
        let rest = basis.iter().fold(column, |rest, own| &rest - own * own.dot(&rest));
        // About the line that atoms are on, nothing turns.
        if rest.norm() > 1e-4 * size.max(1e-6) {
            basis.push(rest.normalize());
        }
    }
    DMatrix::from_columns(&basis)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Hessian of springs between neighbours in a list, of k eV/angstrom^2.
    fn springs(positions: &[[f64; 3]], pairs: &[(usize, usize, f64)]) -> DMatrix<f64> {
        let mut hessian = DMatrix::zeros(3 * positions.len(), 3 * positions.len());
        for &(i, j, k) in pairs {
            let along = (Vector3::from(positions[j]) - Vector3::from(positions[i])).normalize();
            for (a, b) in (0..9).map(|place| (place / 3, place % 3)) {
                let part = k * along[a] * along[b];
                hessian[(3 * i + a, 3 * i + b)] += part;
                hessian[(3 * j + a, 3 * j + b)] += part;
                hessian[(3 * i + a, 3 * j + b)] -= part;
                hessian[(3 * j + a, 3 * i + b)] -= part;
            }
        }
        hessian
    }

    #[test]
    fn two_atoms_have_the_frequency_of_their_reduced_mass() {
        let positions = [[0.1, 0.2, 0.3], [0.1, 0.9, 1.1]];
        let masses = [1.008, 34.969];
        let modes = normal_modes(&positions, &masses, &springs(&positions, &[(0, 1, 32.3)]), true).unwrap();
        assert_eq!(modes.len(), 1);
        // sqrt(k / m) / (2 pi c), by the constants of nature.
        let reduced = masses[0] * masses[1] / (masses[0] + masses[1]) * 1.660_539_066_60e-27;
        let angular = (32.3 * 1.602_176_634e-19 / 1e-20 / reduced).sqrt();
        let expected = angular / (2.0 * std::f64::consts::PI * 2.997_924_58e10);
        assert!((modes[0].wavenumber / expected - 1.0).abs() < 1e-8, "{} and {expected}", modes[0].wavenumber);
        assert!((modes[0].energy() / 1e3 - angular * 6.582_119_569e-16).abs() < 1e-8);
    }

    #[test]
    fn carbon_dioxide_has_the_modes_of_a_chain() {
        // Herzberg's valence force field: squares k / m_O and k (1 / m_O + 2 / m_C); bending is free here.
        let positions = [[-1.16, 0.0, 0.0], [0.0, 0.0, 0.0], [1.16, 0.0, 0.0]];
        let (oxygen, carbon, k) = (15.999, 12.011, 97.0);
        let hessian = springs(&positions, &[(0, 1, k), (1, 2, k)]);
        let modes = normal_modes(&positions, &[oxygen, carbon, oxygen], &hessian, true).unwrap();
        let found: Vec<f64> = modes.iter().map(|mode| mode.wavenumber).collect();
        let [symmetric, antisymmetric] = [k / oxygen, k * (1.0 / oxygen + 2.0 / carbon)].map(|x| WAVENUMBER * x.sqrt());
        for (found, expected) in found.iter().zip([0.0, 0.0, symmetric, antisymmetric]) {
            assert!((found - expected).abs() < 1e-3, "{found} and {expected}");
        }
        assert_eq!(found.len(), 4);
    }

    #[test]
    fn a_falling_energy_is_an_imaginary_frequency() {
        let positions = [[0.0; 3], [0.0, 0.0, 1.0]];
        let modes = normal_modes(&positions, &[1.0, 1.0], &springs(&positions, &[(0, 1, -1.0)]), true).unwrap();
        assert!((modes[0].wavenumber + WAVENUMBER * 2f64.sqrt()).abs() < 1e-6);
        let crystal = normal_modes(&positions, &[1.0, 1.0], &springs(&positions, &[(0, 1, 1.0)]), false).unwrap();
        assert_eq!(crystal.len(), 3);
    }
}
