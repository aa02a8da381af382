//! Whether predicted spreads are as large as errors are.
//!
//! A point is a structure's energy, or an atom's forces: a spread s, which is to be the standard deviation of each component
//! of the prediction, and the root mean square e of the errors of its components. Spreads are calibrated where errors of
//! points with spread s are normally distributed with standard deviation s; then the RMSE of the points of each bin is their
//! root mean variance (Levi et al. 2022, arXiv:1905.11659).

use serde::Serialize;

use crate::Target;

/// The most bins of a reliability diagram.
const MOST_BINS: usize = 10;

/// The fewest points of one bin.
const FEWEST_POINTS: usize = 5;

/// Spreads beside errors of one target, point by point.
#[derive(Debug, Clone, Default)]
pub struct SpreadErrors {
    /// Spread and root mean square error of each point.
    points: Vec<[f64; 2]>,
}

/// How spreads compare with errors. What cannot be said of the points is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Of errors and spreads.
    pub unit: String,
    /// How many structures, or atoms, there are.
    pub points: usize,
    /// Root mean square error.
    pub rmse: f64,
    /// Root mean variance.
    pub spread: f64,
    /// What spreads are to be multiplied by to be as large as errors: `rmse / spread`.
    pub factor: Option<f64>,
    /// Rank correlation (Spearman's) of spreads and errors: 1 where the larger spread is always that of the larger error.
    pub rank_correlation: Option<f64>,
    /// Mean of minus the logarithm of the density that a normal distribution with the spread as standard deviation gives to
    /// the error of a component, in the unit. Points without any spread have no density, and are left out.
    pub negative_log_likelihood: Option<f64>,
    /// The same where spreads are multiplied by the factor.
    pub scaled_negative_log_likelihood: Option<f64>,
    /// Points of like spread, from the smallest: equally many in each.
    pub bins: Vec<ReliabilityBin>,
}

/// Points of like spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// How many.
    pub points: usize,
    /// Their root mean variance.
    pub spread: f64,
    /// Their root mean square error.
    pub rmse: f64,
}

impl SpreadErrors {
    /// Adds the rows of a target of a graph of `nodes` nodes in D dimensions: the deviation that is predicted of each, beside
    /// what is predicted and the label. What is extensive counts per node.
    pub fn add(
        &mut self,
        target: &Target,
        nodes: usize,
        dims: usize,
        label: &[f64],
        found: &[f64],
        deviations: &[f64],
    ) {
        let (per, columns) = (target.per(nodes), target.columns(dims).max(1));
        let rows = label.chunks(columns).zip(found.chunks(columns)).zip(deviations);
        // What is no label is NaN.
        for ((label, found), deviation) in rows.filter(|((label, _), _)| label.iter().all(|value| !value.is_nan())) {
            let squares = label.iter().zip(found).map(|(label, found)| ((found - label) / per).powi(2));
            self.points.push([deviation / per, (squares.sum::<f64>() / label.len() as f64).sqrt()]);
        }
    }

    /// How they compare, times `factor` in `unit`; `None` of no points.
    pub fn calibration(&self, factor: f64, unit: &str) -> Option<Calibration> {
        let mut points: Vec<[f64; 2]> = self.points.iter().map(|point| point.map(|own| factor * own)).collect();
        if points.is_empty() {
            return None;
        }
        points.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let all = bin(&points);
        let factor = Some(all.rmse / all.spread).filter(|factor| factor.is_finite());
        let bins = (points.len() / FEWEST_POINTS).clamp(1, MOST_BINS);
        let edge = |bin: usize| bin * points.len() / bins;
        Some(Calibration {
            unit: unit.to_owned(),
            points: all.points,
            rmse: all.rmse,
            spread: all.spread,
            factor,
            rank_correlation: rank_correlation(&points),
            negative_log_likelihood: negative_log_likelihood(&points, 1.0),
            scaled_negative_log_likelihood: factor.and_then(|factor| negative_log_likelihood(&points, factor)),
            bins: (0..bins).map(|place| bin(&points[edge(place)..edge(place + 1)])).collect(),
        })
    }
}

fn bin(points: &[[f64; 2]]) -> ReliabilityBin {
    let [spread, rmse] = [0, 1].map(|side| {
        let squares: f64 = points.iter().map(|point| point[side].powi(2)).sum();
        (squares / points.len() as f64).sqrt()
    });
    ReliabilityBin { points: points.len(), spread, rmse }
}

fn negative_log_likelihood(points: &[[f64; 2]], factor: f64) -> Option<f64> {
    let certain = |point: &&[f64; 2]| factor * point[0] > 0.0;
    let (mut sum, mut count) = (0.0, 0usize);
    for [spread, error] in points.iter().filter(certain) {
        let variance = (factor * spread).powi(2);
        sum += 0.5 * ((2.0 * std::f64::consts::PI * variance).ln() + error * error / variance);
        count += 1;
    }
    Some(sum / count as f64).filter(|mean| mean.is_finite())
}

/// The correlation of ranks, of which equal numbers share the mean; `None` where all of one side are equal.
fn rank_correlation(points: &[[f64; 2]]) -> Option<f64> {
    let [spreads, errors] = [0, 1].map(|side| ranks(points.iter().map(|point| point[side])));
    let middle = (points.len() as f64 + 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum::<f64>();
    let norm = (product(&spreads, &spreads) * product(&errors, &errors)).sqrt();
    (norm > 0.0).then(|| product(&spreads, &errors) / norm)
}

/// Ranks from 1, in the order of the numbers.
fn ranks(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let numbers: Vec<f64> = numbers.collect();
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    let mut ranks = vec![0.0; numbers.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&a, &b| numbers[a] == numbers[b]) {
        let rank = before as f64 + (equal.len() as f64 + 1.0) / 2.0;
        equal.iter().for_each(|&place| ranks[place] = rank);
        before += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::potential_targets;
    use approx::assert_relative_eq;

    #[test]
    fn numbers_by_hand() {
        let energy = &potential_targets()[0];
        let mut found = SpreadErrors::default();
        // Of 2 atoms each: spreads 1, 2, 2 and errors 2, -1, 3 eV per atom.
        for (spread, error) in [(2.0, 4.0), (4.0, -2.0), (4.0, 6.0)] {
            found.add(energy, 2, 3, &[-10.0], &[-10.0 + error], &[spread]);
        }
        let own = found.calibration(1e3, "meV/atom").unwrap();
        assert_eq!((own.points, own.unit.as_str()), (3, "meV/atom"));
        assert_relative_eq!(own.rmse, 1e3 * (14f64 / 3.0).sqrt(), max_relative = 1e-12);
        assert_relative_eq!(own.spread, 1e3 * 3f64.sqrt(), max_relative = 1e-12);
        assert_relative_eq!(own.factor.unwrap(), (14f64 / 9.0).sqrt(), max_relative = 1e-12);
        // Ranks 1, 2.5, 2.5 beside 2, 1, 3.
        assert_relative_eq!(own.rank_correlation.unwrap(), 0.0, epsilon = 1e-12);
        let own = found.calibration(1.0, "eV/atom").unwrap();
        let ln = |s: f64| (2.0 * std::f64::consts::PI * s * s).ln();
        let expected = 0.5 * (ln(1.0) + 4.0 + 2.0 * ln(2.0) + 0.25 + 2.25) / 3.0;
        assert_relative_eq!(own.negative_log_likelihood.unwrap(), expected, max_relative = 1e-12);
        let f = (14f64 / 9.0).sqrt();
        let expected = 0.5 * (ln(f) + 2.0 * ln(2.0 * f) + 6.5 / (f * f)) / 3.0;
        assert_relative_eq!(own.scaled_negative_log_likelihood.unwrap(), expected, max_relative = 1e-12);
        assert_eq!(own.bins.len(), 1);
    }

    #[test]
    fn components_of_an_atom_are_one_point() {
        let forces = &potential_targets()[1];
        let mut found = SpreadErrors::default();
        found.add(forces, 2, 3, &[0.0; 6], &[1.0, 2.0, 2.0, 0.0, 0.0, 3.0], &[0.5, 1.5]);
        let own = found.calibration(1.0, "eV/Å").unwrap();
        assert_eq!(own.points, 2);
        assert_relative_eq!(own.rmse, 3f64.sqrt(), max_relative = 1e-12);
        assert_relative_eq!(own.spread, 1.25f64.sqrt(), max_relative = 1e-12);
    }

    #[test]
    fn bins_go_by_spread() {
        let energy = &potential_targets()[0];
        let mut found = SpreadErrors::default();
        // Larger spreads first; errors are twice as large, but of the largest.
        for k in (1..=20).rev() {
            let (spread, error) = (f64::from(k), if k == 20 { 0.0 } else { 2.0 * f64::from(k) });
            found.add(energy, 1, 3, &[error], &[0.0], &[spread]);
        }
        let own = found.calibration(1.0, "eV/atom").unwrap();
        assert_eq!(own.bins.iter().map(|bin| bin.points).collect::<Vec<_>>(), [5, 5, 5, 5]);
        for bin in &own.bins[..3] {
            assert_relative_eq!(bin.rmse, 2.0 * bin.spread, max_relative = 1e-12);
        }
        assert_relative_eq!(own.bins[0].spread, 11f64.sqrt(), max_relative = 1e-12);
        assert!(own.bins[3].rmse < 2.0 * own.bins[3].spread);
        assert!(own.rank_correlation.unwrap() < 1.0 && own.rank_correlation.unwrap() > 0.6);
    }

    #[test]
    fn what_cannot_be_said_is_none() {
        let energy = &potential_targets()[0];
        let mut found = SpreadErrors::default();
        assert_eq!(found.calibration(1.0, "eV"), None);
        found.add(energy, 1, 3, &[1.0], &[2.0], &[0.0]);
        let own = found.calibration(1.0, "eV").unwrap();
        assert_eq!((own.factor, own.rank_correlation, own.negative_log_likelihood), (None, None, None));
        assert_eq!(serde_json::to_value(&own).unwrap()["factor"], serde_json::Value::Null);
    }
}
