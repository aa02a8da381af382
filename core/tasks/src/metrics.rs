//! Errors over a data set, tallied in double precision, and the samples that parity plots are made of.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::{Kind, Level, Target};

/// How the errors of a target become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Mean absolute error.
    Mae,
    /// Root of the mean squared error.
    Rmse,
    /// Mean over nodes of the cosine between predicted and labelled vector.
    Cosine,
    /// Share of classes that are right.
    Accuracy,
    /// Mean of minus the logarithm of the probability that was given to the right class.
    CrossEntropy,
}

/// One number that is reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its key in files: `energy_mae_mev_per_atom`.
    pub key: String,
    /// Its name in tables: `energy MAE`.
    pub name: String,
    /// Its unit in tables; empty without one.
    pub unit: String,
    /// Position of the target.
    pub target: usize,
    /// How errors become a number.
    pub measure: Measure,
    /// What that number is multiplied by.
    pub factor: f64,
    /// Whether smaller is better, so that it can be compared with the baseline's.
    pub is_error: bool,
}

impl Metric {
    /// Whether models are compared by it: mean absolute errors and cross entropies.
    pub fn is_scored(&self) -> bool {
        matches!(self.measure, Measure::Mae | Measure::CrossEntropy)
    }

    /// A value as it is worth showing: three digits of one that is given in thousandths, one behind the point at least.
    pub fn shown(&self, value: f64) -> String {
        let digits = match value.abs() {
            _ if self.factor <= 1.0 => 4,
            10.0.. => 1,
            1.0.. => 2,
            _ => 3,
        };
        format!("{value:.digits$}")
    }
}

/// Numbers by the keys of metrics, in their order; `None` where there was no label.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metrics(Map<String, Json>);

/// Keys and numbers, `-` where there was no label.
impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (key, value)) in self.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            match value {
                Some(value) => write!(f, "{comma}{key} {value:.4}")?,
                None => write!(f, "{comma}{key} -")?,
            }
        }
        Ok(())
    }
}

impl Metrics {
    /// The number of a key; `None` where there was no label.
    pub fn get(&self, key: &str) -> Option<f64> {
        self.0.get(key).and_then(Json::as_f64)
    }

    /// Keys and numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<f64>)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_f64()))
    }
}

impl FromIterator<(String, Option<f64>)> for Metrics {
    fn from_iter<I: IntoIterator<Item = (String, Option<f64>)>>(numbers: I) -> Self {
        let number = |value: Option<f64>| value.and_then(serde_json::Number::from_f64).map_or(Json::Null, Json::Number);
        Self(numbers.into_iter().map(|(key, value)| (key, number(value))).collect())
    }
}

/// Errors by the names of sources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BySource(pub BTreeMap<String, Metrics>);

impl BySource {
    /// Whether there is nothing, as where there is one source.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The most pairs of each target that are kept for parity plots.
const MOST_SAMPLES: usize = 4000;

/// Sums of errors of one target, and samples.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TargetTally {
    /// Numbers that were compared.
    pub count: usize,
    absolute: f64,
    squares: f64,
    vectors: usize,
    cosines: f64,
    right: usize,
    log_loss: f64,
    /// Labels and predictions, of an extensive target per node.
    pub samples: Vec<[f64; 2]>,
    stride: usize,
}

/// Sums of errors, target by target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tally {
    targets: Vec<TargetTally>,
}

impl Tally {
    /// A tally that keeps a few thousand of the numbers of each target as samples; `expected` are how many there may be.
    pub fn new(expected: &[usize]) -> Self {
        let tally = |&count: &usize| TargetTally { stride: count.div_ceil(MOST_SAMPLES).max(1), ..Default::default() };
        Self { targets: expected.iter().map(tally).collect() }
    }

    /// Adds what was predicted of one target of one graph of `nodes` nodes in D dimensions, beside its label; NaN is no label.
    pub fn add(&mut self, place: usize, target: &Target, nodes: usize, dims: usize, label: &[f64], found: &[f64]) {
        let own = &mut self.targets[place];
        if let Kind::Class(classes) = target.kind {
            for (class, logits) in label.iter().zip(found.chunks_exact(classes)) {
                own.add_class(*class as usize, logits);
            }
            return;
        }
        let per = target.per(nodes);
        for (label, found) in label.iter().zip(found).filter(|(label, _)| !label.is_nan()) {
            own.add_number(label / per, found / per, (found - label) / per);
        }
        if target.kind == Kind::Vector && target.level == Level::Node {
            let pairs = label.chunks_exact(dims).zip(found.chunks_exact(dims));
            for (label, found) in pairs.filter(|(label, _)| label.iter().all(|component| !component.is_nan())) {
                own.add_cosine(label, found);
            }
        }
    }

    /// Adds what was tallied elsewhere, of other graphs of the same data set.
    pub fn merge(&mut self, other: Self) {
        for (own, other) in self.targets.iter_mut().zip(other.targets) {
            own.merge(other);
        }
    }

    /// The sums of one target.
    pub fn target(&self, place: usize) -> &TargetTally {
        &self.targets[place]
    }

    /// The numbers so far.
    pub fn metrics(&self, metrics: &[Metric]) -> Metrics {
        let number = |metric: &Metric| {
            let found = self.targets[metric.target].measure(metric.measure).map(|value| metric.factor * value);
            (metric.key.clone(), found)
        };
        metrics.iter().map(number).collect()
    }
}

impl TargetTally {
    fn add_number(&mut self, label: f64, found: f64, error: f64) {
        self.absolute += error.abs();
        self.squares += error * error;
        if self.count.is_multiple_of(self.stride.max(1)) && self.samples.len() < 2 * MOST_SAMPLES {
            self.samples.push([label, found]);
        }
        self.count += 1;
    }

    fn add_cosine(&mut self, label: &[f64], found: &[f64]) {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        // As torch.nn.functional.cosine_similarity: tiny vectors count as zero cosine, not as NaN.
        let norms = (dot(label, label) * dot(found, found)).sqrt().max(1e-8);
        self.cosines += dot(label, found) / norms;
        self.vectors += 1;
    }

    fn add_class(&mut self, class: usize, logits: &[f64]) {
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
        let chosen = logits.iter().position(|&logit| logit == largest);
        self.count += 1;
        self.right += usize::from(chosen == Some(class));
        self.log_loss += sum.ln() + largest - logits.get(class).copied().unwrap_or(f64::NAN);
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.absolute += other.absolute;
        self.squares += other.squares;
        self.vectors += other.vectors;
        self.cosines += other.cosines;
        self.right += other.right;
        self.log_loss += other.log_loss;
        self.samples.extend(other.samples);
    }

    fn measure(&self, measure: Measure) -> Option<f64> {
        let mean = |sum: f64, count: usize| (count > 0).then(|| sum / count as f64);
        match measure {
            Measure::Mae => mean(self.absolute, self.count),
            Measure::Rmse => mean(self.squares, self.count).map(f64::sqrt),
            Measure::Cosine => mean(self.cosines, self.vectors),
            Measure::Accuracy => mean(self.right as f64, self.count),
            Measure::CrossEntropy => mean(self.log_loss, self.count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PotentialTask, Task, potential_targets};
    use approx::assert_relative_eq;

    fn add(tally: &mut Tally, place: usize, nodes: usize, label: &[f64], found: &[f64]) {
        tally.add(place, &potential_targets()[place], nodes, 3, label, found);
    }

    #[test]
    fn small_errors_keep_three_digits() {
        let metrics = Task::from(PotentialTask::default()).metrics();
        let mae = metrics.iter().find(|metric| metric.measure == Measure::Mae).unwrap();
        let shown = [1234.56, 25.04, 6.926, 0.0934, -0.5].map(|value| mae.shown(value));
        assert_eq!(shown, ["1234.6", "25.0", "6.93", "0.093", "-0.500"]);
    }

    #[test]
    fn errors_by_hand() {
        let metrics_of = |tally: &Tally| tally.metrics(&Task::from(PotentialTask::default()).metrics());
        let mut tally = Tally::new(&[6, 6]);
        add(&mut tally, 0, 2, &[-10.0], &[-9.0]);
        add(&mut tally, 0, 1, &[-4.0], &[-4.1]);
        add(&mut tally, 1, 2, &[1.0, 0.0, 0.0, 0.0, 0.0, 2.0], &[1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        let metrics = metrics_of(&tally);
        let get = |key: &str| metrics.get(key).unwrap();
        assert_relative_eq!(get("energy_mae_mev_per_atom"), 300.0, max_relative = 1e-9);
        assert_relative_eq!(get("energy_rmse_mev_per_atom"), 130f64.sqrt() * 1e3 / 31.622_776_6, max_relative = 1e-6);
        assert_relative_eq!(get("force_mae_mev_per_angstrom"), 1000.0 / 3.0, max_relative = 1e-9);
        assert_relative_eq!(get("force_cosine"), 0.5 * (0.5f64.sqrt() + 1.0), max_relative = 1e-9);
        assert_eq!(tally.target(1).samples.len(), 6);

        // In two parts, the same.
        let [mut first, mut second] = [Tally::new(&[6, 6]), Tally::new(&[6, 6])];
        add(&mut first, 0, 2, &[-10.0], &[-9.0]);
        add(&mut second, 0, 1, &[-4.0], &[-4.1]);
        add(&mut second, 1, 1, &[1.0, 0.0, 0.0], &[1.0, 1.0, 0.0]);
        add(&mut first, 1, 1, &[0.0, 0.0, 2.0], &[0.0, 0.0, 1.0]);
        first.merge(second);
        assert_eq!(metrics_of(&first), metrics);
        assert_eq!(first.target(1).samples.len(), 6);
    }

    #[test]
    fn without_labels_there_is_no_number() {
        let mut tally = Tally::new(&[1, 1]);
        add(&mut tally, 0, 2, &[-10.0], &[-9.0]);
        let metrics = tally.metrics(&Task::from(PotentialTask::default()).metrics());
        assert_eq!(metrics.get("force_mae_mev_per_angstrom"), None);
        let json = serde_json::to_string(&metrics).unwrap();
        assert!(json.contains("\"force_cosine\":null"), "{json}");
        assert_eq!(serde_json::from_str::<Metrics>(&json).unwrap(), metrics);
    }

    #[test]
    fn classes_by_hand() {
        let target = Target::new("kind", Level::Node, Kind::Class(2));
        let mut tally = Tally::new(&[3]);
        tally.add(0, &target, 3, 3, &[0.0, 1.0, 1.0], &[1.0, 0.0, 0.0, 3.0, 0.0, 0.0]);
        let own = tally.target(0);
        assert_eq!(own.measure(Measure::Accuracy), Some(2.0 / 3.0));
        let expected = ((1.0 + (-1f64).exp()).ln() + (1.0 + (-3f64).exp()).ln() + 2f64.ln()) / 3.0;
        assert_relative_eq!(own.measure(Measure::CrossEntropy).unwrap(), expected, max_relative = 1e-12);
    }
}
