//! What a model is trained for: targets as data, and what follows from them.

use serde::{Deserialize, Serialize};

use crate::{Kind, Level, LossKind, Measure, Metric, Metrics, Target, Term};

/// What a model is trained for. Readouts, labels, losses, metrics and what is written of predictions follow from the
/// targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// `[task] kind`, for messages.
    pub kind: String,
    /// What is predicted.
    pub targets: Vec<Target>,
    /// How errors of numbers count.
    #[serde(default)]
    pub loss: LossKind,
    /// Where `huber` turns linear, in the unit that errors count in.
    #[serde(default = "one_tenth")]
    pub huber_delta: f64,
}

fn one_tenth() -> f64 {
    0.1
}

impl Task {
    /// A task of your own, with the mean absolute error as loss.
    pub fn new(kind: impl Into<String>, targets: Vec<Target>) -> Self {
        Self { kind: kind.into(), targets, loss: LossKind::Mae, huber_delta: one_tenth() }
    }

    /// The same with other scales of outputs, target by target.
    #[must_use]
    pub fn scaled(mut self, scales: &[f64]) -> Self {
        for (target, &scale) in self.targets.iter_mut().zip(scales) {
            target.scale = scale;
        }
        self
    }

    /// The terms of the loss: those of targets with a weight.
    pub fn terms(&self) -> Vec<Term> {
        let term = |(target, own): (usize, &Target)| Term {
            target,
            kind: self.loss,
            weight: own.weight,
            delta: self.huber_delta,
        };
        self.targets.iter().enumerate().filter(|(_, own)| own.weight > 0.0).map(term).collect()
    }

    /// What is reported.
    pub fn metrics(&self) -> Vec<Metric> {
        self.targets.iter().enumerate().flat_map(|(place, target)| metrics_of(place, target)).collect()
    }

    /// One number to compare models by, lower is better: mean absolute errors and cross entropies, weighted as in the
    /// loss. Targets without labels count nothing.
    pub fn score(&self, metrics: &Metrics) -> f64 {
        let part = |metric: &Metric| {
            let target = &self.targets[metric.target];
            metrics.get(&metric.key).map_or(0.0, |value| target.weight * target.share() * value / metric.factor)
        };
        self.metrics().iter().filter(|metric| metric.is_scored()).map(part).sum()
    }
}

/// What is reported of one target.
fn metrics_of(place: usize, target: &Target) -> Vec<Metric> {
    // Errors of electronvolts are read in thousandths of them.
    let (unit, factor) = match target.unit.strip_prefix("eV") {
        Some(rest) => (format!("meV{rest}"), 1e3),
        None => (target.unit.clone(), 1.0),
    };
    let unit = match (target.extensive, unit.as_str()) {
        (false, _) => unit,
        (true, "") => "1/atom".into(),
        (true, unit) => format!("{unit}/atom"),
    };
    // One of the forces is a force.
    let singular = if target.name == "forces" { "force" } else { &target.name };
    let metric = |measure: Measure, title: &str, unit: &str, factor: f64, is_error: bool| {
        let words = [singular, title, unit].into_iter().map(word).filter(|word| !word.is_empty());
        Metric {
            key: words.collect::<Vec<_>>().join("_"),
            name: format!("{singular} {title}"),
            unit: unit.to_owned(),
            target: place,
            measure,
            factor,
            is_error,
        }
    };
    if let Kind::Class(_) = target.kind {
        return vec![
            metric(Measure::Accuracy, "accuracy", "", 1.0, false),
            metric(Measure::CrossEntropy, "cross entropy", "", 1.0, true),
        ];
    }
    let mut metrics =
        vec![metric(Measure::Mae, "MAE", &unit, factor, true), metric(Measure::Rmse, "RMSE", &unit, factor, true)];
    if target.kind == Kind::Vector && target.level == Level::Node {
        metrics.push(metric(Measure::Cosine, "cosine", "", 1.0, false));
    }
    metrics
}

/// A name as part of a key: small letters, digits and underscores.
fn word(text: &str) -> String {
    let spelled = text.replace('/', " per ").replace('Å', "angstrom").to_lowercase();
    let words = spelled.split(|letter: char| !letter.is_alphanumeric()).filter(|part| !part.is_empty());
    words.collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PotentialTask;

    #[test]
    fn keys_and_units_follow_from_targets() {
        let mut dipole = Target::new("dipole", Level::Graph, Kind::Vector);
        dipole.unit = "e Å".into();
        let mut heat = Target::new("heat capacity", Level::Graph, Kind::Scalar);
        heat.extensive = true;
        let class = Target::new("site", Level::Node, Kind::Class(3));
        let found: Vec<_> = Task::new("properties", vec![dipole, heat, class]).metrics();
        let found: Vec<_> = found.iter().map(|own| (own.key.as_str(), own.name.as_str(), own.unit.as_str())).collect();
        assert_eq!(
            found,
            [
                ("dipole_mae_e_angstrom", "dipole MAE", "e Å"),
                ("dipole_rmse_e_angstrom", "dipole RMSE", "e Å"),
                ("heat_capacity_mae_1_per_atom", "heat capacity MAE", "1/atom"),
                ("heat_capacity_rmse_1_per_atom", "heat capacity RMSE", "1/atom"),
                ("site_accuracy", "site accuracy", ""),
                ("site_cross_entropy", "site cross entropy", ""),
            ]
        );
    }

    #[test]
    fn the_keys_of_potentials_are_those_that_scripts_know() {
        let keys: Vec<String> = Task::from(PotentialTask::default()).metrics().into_iter().map(|own| own.key).collect();
        assert_eq!(
            keys,
            [
                "energy_mae_mev_per_atom",
                "energy_rmse_mev_per_atom",
                "force_mae_mev_per_angstrom",
                "force_rmse_mev_per_angstrom",
                "force_cosine"
            ]
        );
    }

    #[test]
    fn scores_count_what_the_loss_counts() {
        let mut gap = Target::new("gap", Level::Graph, Kind::Scalar);
        (gap.unit, gap.scale, gap.normalised, gap.weight) = ("eV".into(), 0.5, true, 3.0);
        let task = Task::new("properties", vec![gap, Target::new("site", Level::Node, Kind::Class(2))]);
        let numbers =
            [("gap_mae_mev", 100.0), ("gap_rmse_mev", 7.0), ("site_accuracy", 0.9), ("site_cross_entropy", 0.2)];
        let metrics: Metrics = numbers.into_iter().map(|(key, value)| (key.to_owned(), Some(value))).collect();
        assert!((task.score(&metrics) - (3.0 * 0.1 / 0.5 + 0.2)).abs() < 1e-12);
    }
}
