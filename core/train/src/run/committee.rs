//! `committee.json`: what several models, trained alike but for their seeds, are together.

use std::collections::BTreeMap;

use isograd_tasks::{Metrics, Target};
use serde::{Deserialize, Serialize};

use super::{Best, RunDirectory};
use crate::{Error, Result};

/// The name of the file.
const FILE: &str = "committee.json";

/// What the largest spread of held-out structures is multiplied by before one is beyond it: the same structure in another batch
/// has another one by rounding.
const ROUNDING: f64 = 1.01;

/// The whole of `committee.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitteeSummary {
    /// The members, in order.
    pub members: Vec<MemberSummary>,
    /// Errors of the mean over the members on the held-out structures.
    pub validation: Metrics,
    /// Errors of predicting reference energies and zero forces.
    pub baseline: Metrics,
    /// Number of held-out structures.
    pub structures: usize,
    /// How far members are apart on the held-out structures, by the names of targets.
    pub spread: BTreeMap<String, HeldOutSpread>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberSummary {
    /// Its `train.seed`.
    pub seed: u64,
    /// Its best validation.
    pub best: Best,
}

/// How far members are apart on the held-out structures, of which each counts with the largest standard deviation of its
/// rows, divided by its number of atoms where the target is extensive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldOutSpread {
    /// Of the numbers.
    pub unit: String,
    /// Half of the structures have less.
    pub median: f64,
    /// 99 % of the structures have less.
    pub percentile_99: f64,
    /// That of the structure with most.
    pub maximum: f64,
}

impl HeldOutSpread {
    /// Of the numbers of all structures; `None` where none is a number.
    pub(crate) fn of(target: &Target, structures: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = structures.iter().copied().filter(|own| own.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let share = |share: f64| sorted.get(((sorted.len() as f64 - 1.0) * share).round() as usize).copied();
        let per = if target.extensive { "/atom" } else { "" };
        let unit = format!("{}{per}", target.unit);
        Some(Self { unit, median: share(0.5)?, percentile_99: share(0.99)?, maximum: share(1.0)? })
    }
}

impl CommitteeSummary {
    /// Whether members are farther apart on a structure than on any that was held out, by more than rounding; `deviations` are what they say of
    /// each target. `None` where nothing of them was seen on held-out structures.
    pub fn is_exceeded_by<'a>(
        &self,
        deviations: impl IntoIterator<Item = (&'a Target, &'a [f64])>,
        nodes: usize,
    ) -> Option<bool> {
        let beyond = deviations.into_iter().filter_map(|(target, deviations)| {
            let own = target.largest_deviation(deviations, nodes)?;
            let held_out = self.spread.get(&target.name)?;
            // Also of what is no number.
            Some(own.is_nan() || own > ROUNDING * held_out.maximum)
        });
        beyond.reduce(|a, b| a || b)
    }

    pub(crate) fn save(&self, run: &RunDirectory) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).map_err(|error| Error::Internal(error.to_string()))?;
        run.write(FILE, &json)
    }

    /// What a run directory has of it; `None` where it has none, as before the last member is trained.
    ///
    /// # Errors
    /// [`Error::Run`] where the file is damaged, [`Error::Io`] where it cannot be read.
    pub fn load(run: &RunDirectory) -> Result<Option<Self>> {
        let path = run.root().join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&path).map_err(Error::io(&path, "read"))?;
        let damaged = |error: serde_json::Error| Error::run(&path, format!("is damaged: {error}"));
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_tasks::potential_targets;

    #[test]
    fn a_structure_beyond_all_held_out_ones_is_told() {
        let [energy, forces] = potential_targets();
        let held_out: Vec<f64> = (0..=200).rev().map(|k| f64::from(k) / 100.0).chain([f64::NAN]).collect();
        let spread = HeldOutSpread::of(energy, &held_out).unwrap();
        assert_eq!(
            (spread.unit.as_str(), spread.median, spread.percentile_99, spread.maximum),
            ("eV/atom", 1.0, 1.98, 2.0)
        );
        assert_eq!(HeldOutSpread::of(energy, &[]), None);
        let summary = CommitteeSummary {
            members: Vec::new(),
            validation: Metrics::default(),
            baseline: Metrics::default(),
            structures: 202,
            spread: [(energy.name.clone(), spread)].into(),
        };
        let is_beyond = |deviation: f64| summary.is_exceeded_by([(energy, &[deviation][..])], 3);
        assert_eq!([5.9, 6.0, 6.1, f64::NAN].map(is_beyond), [Some(false), Some(false), Some(true), Some(true)]);
        // Nothing was held out that has forces.
        assert_eq!(summary.is_exceeded_by([(forces, &[9.0][..])], 1), None);
    }
}
