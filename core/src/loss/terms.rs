//! Energy and force terms.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use crate::graph::{HostBatch, LabelCounts, floats};
use crate::model::Prediction;

/// How an error counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossKind {
    /// Absolute error.
    #[default]
    Mae,
    /// Squared error.
    Mse,
    /// Half the squared error up to `huber_delta`, linear beyond.
    Huber,
}

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

/// The targets of a batch on a device.
#[derive(Debug, Clone)]
pub struct Labels<B: Backend> {
    energies: Tensor<B, 1>,
    /// One over the number of atoms where there is an energy, else zero, `[B]`.
    energy_weights: Tensor<B, 1>,
    forces: Tensor<B, 2>,
    /// One where there is a force, else zero, `[N, 1]`.
    force_mask: Tensor<B, 2>,
}

impl<B: Backend> Labels<B> {
    /// Copies the targets of a batch to a device.
    pub fn new(batch: &HostBatch, device: &B::Device) -> Self {
        let weights: Vec<f32> =
            batch.energy_mask.iter().zip(&batch.sizes).map(|(mask, &size)| mask / size as f32).collect();
        Self {
            energies: floats(&batch.energies, [batch.graphs()], device),
            energy_weights: floats(&weights, [batch.graphs()], device),
            forces: floats(&batch.forces, [batch.atoms(), 3], device),
            force_mask: floats(&batch.force_mask, [batch.atoms(), 1], device),
        }
    }
}

/// The loss of a batch, `[1]`: sums over its labels divided by `counts`, the labels of the whole
/// step, so that the losses of micro-batches (or of ranks) add up to the loss of the step.
///
/// # Panics
/// If predictions and labels differ in shape.
pub fn loss<B: Backend>(
    config: &LossConfig,
    prediction: Prediction<B>,
    labels: &Labels<B>,
    counts: LabelCounts,
) -> Tensor<B, 1> {
    assert_eq!(prediction.energies.dims(), labels.energies.dims(), "loss: predicted and labelled energies");
    assert_eq!(prediction.forces.dims(), labels.forces.dims(), "loss: predicted and labelled forces");
    let energy_errors = (prediction.energies - labels.energies.clone()) * labels.energy_weights.clone();
    let force_errors = (prediction.forces - labels.forces.clone()) * labels.force_mask.clone();
    let share = |weight: f64, count: usize| if count == 0 { 0.0 } else { weight / count as f64 };
    penalty(config, energy_errors).mul_scalar(share(config.energy_weight, counts.energies))
        + penalty(config, force_errors).mul_scalar(share(config.force_weight, counts.force_components))
}

/// The sum over all elements of what an error costs.
fn penalty<B: Backend, const R: usize>(config: &LossConfig, errors: Tensor<B, R>) -> Tensor<B, 1> {
    match config.kind {
        LossKind::Mae => errors.abs().sum(),
        LossKind::Mse => (errors.clone() * errors).sum(),
        LossKind::Huber => {
            let size = errors.abs();
            let near = size.clone().clamp_max(config.huber_delta);
            let far = size - near.clone();
            (near.clone() * near).mul_scalar(0.5).sum() + far.mul_scalar(config.huber_delta).sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use burn_flex::Flex;

    fn batch() -> HostBatch {
        HostBatch {
            members: vec![0, 1],
            sizes: vec![2, 1],
            species: vec![0; 3],
            energies: vec![1.0, 0.0],
            energy_mask: vec![1.0, 0.0],
            forces: vec![0.0; 9],
            force_mask: vec![1.0, 1.0, 0.0],
            ..Default::default()
        }
    }

    fn value(kind: LossKind, counts: LabelCounts) -> f32 {
        let device = Default::default();
        let prediction = Prediction::<Flex> {
            energies: Tensor::from_floats([2.0, 100.0], &device),
            forces: Tensor::from_floats([[0.3, 0.0, 0.0], [0.0, -0.05, 0.0], [9.0, 9.0, 9.0]], &device),
        };
        let config = LossConfig { kind, ..Default::default() };
        loss(&config, prediction, &Labels::new(&batch(), &device), counts).into_scalar()
    }

    #[test]
    fn missing_labels_cost_nothing_and_counts_divide() {
        let counts = batch().label_counts();
        // Energy: 1 eV over 2 atoms. Forces: 0.3 and 0.05 over 6 components, weight 10.
        assert_relative_eq!(value(LossKind::Mae, counts), 0.5 + 10.0 * 0.35 / 6.0, max_relative = 1e-6);
        assert_relative_eq!(value(LossKind::Mse, counts), 0.25 + 10.0 * 0.0925 / 6.0, max_relative = 1e-6);
        let huber = (0.005 + 0.1 * 0.4) + 10.0 * (0.005 + 0.1 * 0.2 + 0.5 * 0.0025) / 6.0;
        assert_relative_eq!(value(LossKind::Huber, counts), huber as f32, max_relative = 1e-6);
        let double = counts + counts;
        assert_relative_eq!(value(LossKind::Mae, double) * 2.0, value(LossKind::Mae, counts), max_relative = 1e-6);
        assert_eq!(value(LossKind::Mae, LabelCounts::default()), 0.0);
    }
}
