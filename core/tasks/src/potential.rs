//! Potentials: energies and forces of structures.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::{Kind, Label, Level, LossKind, Target, Task};

/// The `[loss]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// How errors of numbers count. Default `mae`.
    pub kind: LossKind,
    /// Weight of a potential's energy term, whose errors are in eV per atom. Default 1.
    pub energy_weight: f64,
    /// Weight of a potential's force term, whose errors are in eV/angstrom per component. Default 10.
    pub force_weight: f64,
    /// Weight of a potential's stress term, whose errors are in eV/angstrom^3 per component; of conservative potentials only.
    /// Default 0.
    pub stress_weight: f64,
    /// Where `huber` turns linear, in the unit that errors count in: of potentials eV (per atom) and eV/angstrom.
    /// Default 0.1.
    pub huber_delta: f64,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self { kind: LossKind::Mae, energy_weight: 1.0, force_weight: 10.0, stress_weight: 0.0, huber_delta: 0.1 }
    }
}

/// Energies without reference energies, and forces; of a conservative potential also stress.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PotentialTask {
    /// How errors count.
    pub loss: LossConfig,
}

impl From<PotentialTask> for Task {
    fn from(task: PotentialTask) -> Self {
        let LossConfig { kind, energy_weight, force_weight, huber_delta, .. } = task.loss;
        let [mut energy, mut forces] = potential_targets().clone();
        (energy.weight, forces.weight) = (energy_weight, force_weight);
        Self { kind: "potential".into(), targets: vec![energy, forces], loss: kind, huber_delta }
    }
}

impl Task {
    /// The same with the stress among the targets, which is a derivative of the energy.
    #[must_use]
    pub fn with_stress(mut self, weight: f64) -> Self {
        let stress = Target::new("stress", Level::Graph, Kind::Tensor);
        self.targets.push(Target { label: Label::Stress, unit: "eV/Å^3".into(), weight, ..stress });
        self
    }
}

static TARGETS: LazyLock<[Target; 2]> = LazyLock::new(|| {
    let energy = Target {
        label: Label::Energy,
        unit: "eV".into(),
        extensive: true,
        ..Target::new("energy", Level::Graph, Kind::Scalar)
    };
    let forces =
        Target { label: Label::Forces, unit: "eV/Å".into(), ..Target::new("forces", Level::Node, Kind::Vector) };
    [energy, forces]
});

/// Energy and forces, in this order.
pub fn potential_targets() -> &'static [Target; 2] {
    &TARGETS
}
