//! Errors over a data set, tallied in f64, and the samples that parity plots are made of.

use serde::{Deserialize, Serialize};

/// The errors of a model on labelled structures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Mean over structures of |dE| over the number of atoms.
    pub energy_mae_mev_per_atom: f64,
    /// Root mean square over structures of dE over the number of atoms.
    pub energy_rmse_mev_per_atom: f64,
    /// Mean over force components of |dF|.
    pub force_mae_mev_per_angstrom: f64,
    /// Root mean square over force components of dF.
    pub force_rmse_mev_per_angstrom: f64,
    /// Mean over atoms of the cosine between predicted and labelled force.
    pub force_cosine: f64,
}

impl Metrics {
    /// One number to compare models by, lower is better: the weighted sum of the mean errors in eV
    /// per atom and eV/angstrom.
    pub fn score(&self, energy_weight: f64, force_weight: f64) -> f64 {
        1e-3 * (energy_weight * self.energy_mae_mev_per_atom + force_weight * self.force_mae_mev_per_angstrom)
    }
}

/// The most pairs of each kind that are kept for parity plots.
const MOST_SAMPLES: usize = 4000;

/// Sums of errors, and samples of (label, prediction).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tally {
    energies: usize,
    energy_absolute: f64,
    energy_squares: f64,
    components: usize,
    force_absolute: f64,
    force_squares: f64,
    atoms: usize,
    cosines: f64,
    /// Energies per atom without references, eV: label and prediction.
    pub energy_samples: Vec<[f64; 2]>,
    /// Force components, eV/angstrom: label and prediction.
    pub force_samples: Vec<[f64; 2]>,
    force_stride: usize,
}

impl Tally {
    /// A tally that keeps a few thousand of `components` force components as samples.
    pub fn new(components: usize) -> Self {
        Self { force_stride: components.div_ceil(MOST_SAMPLES).max(1), ..Default::default() }
    }

    /// Adds the energy of one structure, in eV.
    pub fn add_energy(&mut self, label: f64, prediction: f64, atoms: usize) {
        let error = (prediction - label) / atoms as f64;
        self.energies += 1;
        self.energy_absolute += error.abs();
        self.energy_squares += error * error;
        if self.energy_samples.len() < MOST_SAMPLES {
            self.energy_samples.push([label / atoms as f64, prediction / atoms as f64]);
        }
    }

    /// Adds the force on one atom, in eV/angstrom.
    pub fn add_force(&mut self, label: [f64; 3], prediction: [f64; 3]) {
        for axis in 0..3 {
            let error = prediction[axis] - label[axis];
            self.force_absolute += error.abs();
            self.force_squares += error * error;
            if self.components.is_multiple_of(self.force_stride) {
                self.force_samples.push([label[axis], prediction[axis]]);
            }
            self.components += 1;
        }
        let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        // As torch.nn.functional.cosine_similarity: tiny forces count as zero cosine, not as NaN.
        let norms = (dot(label, label) * dot(prediction, prediction)).sqrt().max(1e-8);
        self.cosines += dot(label, prediction) / norms;
        self.atoms += 1;
    }

    /// Adds what was tallied elsewhere, of other structures of the same data set.
    pub fn merge(&mut self, other: Self) {
        self.energies += other.energies;
        self.energy_absolute += other.energy_absolute;
        self.energy_squares += other.energy_squares;
        self.components += other.components;
        self.force_absolute += other.force_absolute;
        self.force_squares += other.force_squares;
        self.atoms += other.atoms;
        self.cosines += other.cosines;
        let room = MOST_SAMPLES.saturating_sub(self.energy_samples.len());
        self.energy_samples.extend(other.energy_samples.into_iter().take(room));
        self.force_samples.extend(other.force_samples);
    }

    /// The errors so far; zero where there was no label.
    pub fn metrics(&self) -> Metrics {
        let mean = |sum: f64, count: usize| if count == 0 { 0.0 } else { sum / count as f64 };
        Metrics {
            energy_mae_mev_per_atom: 1e3 * mean(self.energy_absolute, self.energies),
            energy_rmse_mev_per_atom: 1e3 * mean(self.energy_squares, self.energies).sqrt(),
            force_mae_mev_per_angstrom: 1e3 * mean(self.force_absolute, self.components),
            force_rmse_mev_per_angstrom: 1e3 * mean(self.force_squares, self.components).sqrt(),
            force_cosine: mean(self.cosines, self.atoms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn errors_by_hand() {
        let mut tally = Tally::new(6);
        tally.add_energy(-10.0, -9.0, 2);
        tally.add_energy(-4.0, -4.1, 1);
        tally.add_force([1.0, 0.0, 0.0], [1.0, 1.0, 0.0]);
        tally.add_force([0.0, 0.0, 2.0], [0.0, 0.0, 1.0]);
        let metrics = tally.metrics();
        assert_relative_eq!(metrics.energy_mae_mev_per_atom, 300.0, max_relative = 1e-9);
        assert_relative_eq!(
            metrics.energy_rmse_mev_per_atom,
            (130.0f64).sqrt() * 1e3 / 31.622_776_6,
            max_relative = 1e-6
        );
        assert_relative_eq!(metrics.force_mae_mev_per_angstrom, 1000.0 / 3.0, max_relative = 1e-9);
        assert_relative_eq!(metrics.force_cosine, 0.5 * (0.5f64.sqrt() + 1.0), max_relative = 1e-9);
        assert_eq!(tally.force_samples.len(), 6);

        // In two parts, the same.
        let [mut first, mut second] = [Tally::new(6), Tally::new(6)];
        first.add_energy(-10.0, -9.0, 2);
        second.add_energy(-4.0, -4.1, 1);
        second.add_force([1.0, 0.0, 0.0], [1.0, 1.0, 0.0]);
        first.add_force([0.0, 0.0, 2.0], [0.0, 0.0, 1.0]);
        first.merge(second);
        assert_eq!(first.metrics(), metrics);
        assert_eq!(first.force_samples.len(), 6);
    }
}
