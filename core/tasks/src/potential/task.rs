//! What a potential is trained for: energies without reference energies, and forces.

use std::sync::Arc;

use isograd_structure::Structure;
use serde::{Deserialize, Serialize};

use super::PotentialInfo;
use super::targets::potential_targets as targets;
use crate::{LossKind, Measure, Metric, Metrics, Target, Task, Term};

/// The `[loss]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// Default `mae`.
    pub kind: LossKind,
    /// Weight of the energy term, whose errors are in eV per atom. Default 1.
    pub energy_weight: f64,
    /// Weight of the force term, whose errors are in eV/angstrom per component. Default 10.
    pub force_weight: f64,
    /// Where `huber` turns linear, in eV (per atom) and eV/angstrom. Default 0.1.
    pub huber_delta: f64,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self { kind: LossKind::Mae, energy_weight: 1.0, force_weight: 10.0, huber_delta: 0.1 }
    }
}

/// Energies and forces.
#[derive(Debug, Clone, Default)]
pub struct PotentialTask {
    /// How errors count.
    pub loss: LossConfig,
    /// The sources, whose reference energies are taken off; none where there are none to take off.
    pub info: Option<Arc<PotentialInfo>>,
}

impl PotentialTask {
    fn reference_energy(&self, structure: &Structure, source: usize) -> f64 {
        self.info.as_ref().map_or(0.0, |info| info.sources[source].references.energy(&structure.elements))
    }
}

impl Task for PotentialTask {
    fn targets(&self) -> &[Target] {
        targets()
    }

    fn labels(&self, structure: &Structure, source: usize) -> Vec<Option<Vec<f64>>> {
        let energy = structure.energy.map(|energy| vec![energy - self.reference_energy(structure, source)]);
        let forces = structure.forces.as_ref().map(|forces| forces.as_flattened().to_vec());
        vec![energy, forces]
    }

    fn label_sizes(&self, structure: &Structure) -> Vec<usize> {
        let forces = structure.forces.as_ref().map_or(0, |forces| 3 * forces.len());
        vec![usize::from(structure.energy.is_some()), forces]
    }

    fn complete(&self, structure: &Structure, source: usize, prediction: &mut [Vec<f64>]) {
        prediction[0][0] += self.reference_energy(structure, source);
    }

    fn terms(&self) -> Vec<Term> {
        let LossConfig { kind, energy_weight, force_weight, huber_delta: delta } = self.loss;
        [energy_weight, force_weight]
            .into_iter()
            .enumerate()
            .map(|(target, weight)| Term { target, kind, weight, delta })
            .collect()
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |key: &str, name: &str, unit: &str, target, measure| Metric {
            key: key.to_owned(),
            name: name.to_owned(),
            unit: unit.to_owned(),
            target,
            measure,
            factor: if measure == Measure::Cosine { 1.0 } else { 1e3 },
            is_error: measure != Measure::Cosine,
        };
        vec![
            metric("energy_mae_mev_per_atom", "energy MAE", "meV/atom", 0, Measure::Mae),
            metric("energy_rmse_mev_per_atom", "energy RMSE", "meV/atom", 0, Measure::Rmse),
            metric("force_mae_mev_per_angstrom", "force MAE", "meV/Å", 1, Measure::Mae),
            metric("force_rmse_mev_per_angstrom", "force RMSE", "meV/Å", 1, Measure::Rmse),
            metric("force_cosine", "force cosine", "", 1, Measure::Cosine),
        ]
    }

    /// The weighted sum of the mean errors in eV per atom and eV/angstrom.
    fn score(&self, metrics: &Metrics) -> f64 {
        let part = |weight: f64, key: &str| metrics.get(key).map_or(0.0, |value| weight * value);
        let LossConfig { energy_weight, force_weight, .. } = self.loss;
        1e-3 * (part(energy_weight, "energy_mae_mev_per_atom") + part(force_weight, "force_mae_mev_per_angstrom"))
    }
}
