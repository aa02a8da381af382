//! Reference energies: what an atom of each element contributes to a total energy on average, so
//! that the model only learns what is left.

use std::collections::BTreeMap;

use isograd_structure::Element;
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

/// Singular values below this share of the largest are cut: their directions in composition space
/// are not determined by the data.
const CUT: f64 = 1e-8;

/// Energy per atom of each element, in eV.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct References(pub BTreeMap<Element, f64>);

impl References {
    /// The sum over a structure's atoms; elements without a reference count zero.
    pub fn energy(&self, elements: &[Element]) -> f64 {
        elements.iter().filter_map(|element| self.0.get(element)).sum()
    }
}

/// The result of [`fit_references`].
#[derive(Debug, Clone, Serialize)]
pub struct Fit {
    /// The coefficients.
    pub references: References,
    /// Root mean square of what is left, in eV per atom.
    pub residual_rms: f64,
    /// How many directions of composition space the data determine.
    pub rank: usize,
    /// How many structures the fit is made of.
    pub structures: usize,
}

/// Fits reference energies to total energies, or what atoms contribute to another extensive number, by least squares on
/// the energy per atom, in f64. Of undetermined directions (two elements that only occur in one ratio, say) the solution of
/// smallest norm is taken. Each item is the elements of a structure's atoms and its energy.
pub fn fit_references<'a>(labelled: impl Iterator<Item = (&'a [Element], f64)>) -> Fit {
    let mut sums = ReferenceSums::default();
    labelled.for_each(|(atoms, energy)| sums.add(atoms, energy));
    sums.fit()
}

/// What a fit of reference energies needs of energies that are met one after the other. Those of one composition enter as
/// their mean with its weight, which leaves the solution the same and the matrix as small as the number of different
/// compositions.
#[derive(Debug, Clone, Default)]
pub struct ReferenceSums {
    compositions: BTreeMap<Vec<(Element, usize)>, Sum>,
}

#[derive(Debug, Clone, Default)]
struct Sum {
    count: f64,
    energy: f64,
    squares: f64,
}

impl ReferenceSums {
    /// Adds the energy of a structure with atoms of these elements, in any order.
    pub fn add(&mut self, atoms: &[Element], energy: f64) {
        let mut counts = BTreeMap::new();
        for &element in atoms {
            *counts.entry(element).or_insert(0usize) += 1;
        }
        self.add_counts(counts.into_iter().collect(), energy);
    }

    /// As [`ReferenceSums::add`], of so many atoms of each element, in the order of atomic numbers.
    pub(crate) fn add_counts(&mut self, counts: Vec<(Element, usize)>, energy: f64) {
        let atoms: usize = counts.iter().map(|(_, count)| count).sum();
        if atoms == 0 {
            return;
        }
        let sum = self.compositions.entry(counts).or_default();
        let per_atom = energy / atoms as f64;
        sum.count += 1.0;
        sum.energy += per_atom;
        sum.squares += per_atom * per_atom;
    }

    /// The fit, as [`fit_references`].
    pub fn fit(&self) -> Fit {
        let compositions = &self.compositions;
        let mut elements: Vec<Element> = compositions.keys().flatten().map(|(element, _)| *element).collect();
        elements.sort_unstable();
        elements.dedup();
        let rows = compositions.len().max(elements.len());
        let mut matrix = DMatrix::zeros(rows, elements.len());
        let mut target = DVector::zeros(rows);
        let mut spread = 0.0;
        for (row, (composition, sum)) in compositions.iter().enumerate() {
            let atoms: usize = composition.iter().map(|(_, count)| count).sum();
            let weight = sum.count.sqrt();
            for (element, count) in composition {
                // `elements` was made from the same keys.
                let column = elements.binary_search(element).unwrap_or_default();
                matrix[(row, column)] = weight * *count as f64 / atoms as f64;
            }
            target[row] = weight * sum.energy / sum.count;
            spread += (sum.squares - sum.energy * sum.energy / sum.count).max(0.0);
        }
        let structures: f64 = compositions.values().map(|sum| sum.count).sum();
        let (solution, rank) = least_squares(&matrix, &target);
        let between = (&matrix * &solution - &target).norm_squared();
        Fit {
            references: References(elements.into_iter().zip(solution.iter().copied()).collect()),
            residual_rms: if structures > 0.0 { ((between + spread) / structures).sqrt() } else { 0.0 },
            rank,
            structures: structures as usize,
        }
    }
}

/// Solves by QR and the singular values of R, small ones cut; returns the rank too.
fn least_squares(matrix: &DMatrix<f64>, target: &DVector<f64>) -> (DVector<f64>, usize) {
    if matrix.ncols() == 0 {
        return (DVector::zeros(0), 0);
    }
    let qr = matrix.clone().qr();
    let reduced = qr.q().tr_mul(target);
    let svd = qr.r().svd(true, true);
    let cut = CUT * svd.singular_values.max();
    let rank = svd.rank(cut);
    let zeros = DVector::zeros(matrix.ncols());
    // `solve` fails only without U and V, which were asked for.
    (svd.solve(&reduced, cut).unwrap_or(zeros), rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use isograd_structure::Structure;

    fn labelled(data: &[Structure]) -> impl Iterator<Item = (&[Element], f64)> {
        data.iter().filter_map(|structure| Some((structure.elements.as_slice(), structure.energy?)))
    }

    fn structure(formula: &[(&str, usize)], energy: f64) -> Structure {
        let elements = formula.iter().flat_map(|(s, n)| std::iter::repeat_n(s.parse().unwrap(), *n)).collect();
        Structure { elements, energy: Some(energy), ..Default::default() }
    }

    #[test]
    fn exact_references_are_found_again() {
        let (h, c, o) = (-13.6, -1030.0, -2040.0);
        let data: Vec<Structure> = [(4, 1, 0), (2, 0, 1), (4, 1, 1), (6, 2, 0), (6, 2, 0)]
            .iter()
            .map(|&(nh, nc, no)| {
                structure(&[("H", nh), ("C", nc), ("O", no)], nh as f64 * h + nc as f64 * c + no as f64 * o)
            })
            .collect();
        let fit = fit_references(labelled(&data));
        let found: Vec<f64> = fit.references.0.values().copied().collect();
        for (found, expected) in found.iter().zip([h, c, o]) {
            assert_relative_eq!(*found, expected, max_relative = 1e-10);
        }
        assert_eq!((fit.rank, fit.structures), (3, 5));
        assert!(fit.residual_rms < 1e-9);
    }

    #[test]
    fn undetermined_directions_are_cut_and_the_energy_is_still_right() {
        let data = [structure(&[("Na", 1), ("Cl", 1)], -8.0), structure(&[("Na", 2), ("Cl", 2)], -16.0)];
        let fit = fit_references(labelled(&data));
        assert_eq!(fit.rank, 1);
        assert_relative_eq!(fit.references.energy(&data[1].elements), -16.0, max_relative = 1e-10);
        assert_relative_eq!(fit.references.0[&"Na".parse().unwrap()], -4.0, max_relative = 1e-10);
    }

    #[test]
    fn the_residual_counts_every_structure() {
        let data = [structure(&[("H", 2)], -2.0), structure(&[("H", 2)], -4.0)];
        let fit = fit_references(labelled(&data));
        assert_relative_eq!(fit.references.0[&"H".parse().unwrap()], -1.5, max_relative = 1e-12);
        assert_relative_eq!(fit.residual_rms, 0.5, max_relative = 1e-9);
    }

    #[test]
    fn nothing_gives_nothing() {
        assert!(fit_references(std::iter::empty()).references.0.is_empty());
    }
}
