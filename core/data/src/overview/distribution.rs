//! How large what files hold is: the ends, the middle and a histogram of each quantity.

use isograd_structure::Structure;
use serde::Serialize;

use crate::audit::Inspection;
use crate::reservoir::Reservoir;

/// Values of a quantity that a histogram is made of.
const KEPT: usize = 8192;

/// Bars of a histogram.
const BARS: usize = 24;

/// The share of values on either side that the end bars of a histogram take in, so that one that is far off does not make all
/// others one bar.
const TAIL: f64 = 0.005;

/// How the values of a quantity are distributed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distribution {
    /// What it is.
    pub quantity: &'static str,
    /// Its unit; empty of a count.
    pub unit: &'static str,
    /// How many values there are.
    pub count: usize,
    /// The smallest.
    pub minimum: f64,
    /// The middle one, of up to 8192 that were drawn evenly.
    pub median: f64,
    /// The largest.
    pub maximum: f64,
    /// Where the histogram begins and ends; values beyond are in its end bars.
    pub range: (f64, f64),
    /// Numbers of values from `range.0` to `range.1`, in bars of equal width; of up to 8192 that were drawn evenly.
    pub histogram: Vec<usize>,
}

impl Distribution {
    /// Of values that are drawn evenly from `count`; nothing of none.
    pub(super) fn of_some(
        quantity: &'static str,
        unit: &'static str,
        count: usize,
        values: impl Iterator<Item = f64>,
    ) -> Option<Self> {
        let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        let (&minimum, &maximum) = (values.first()?, values.last()?);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        let (low, high) = (at(TAIL), at(1.0 - TAIL));
        let bars = if high > low { BARS } else { 1 };
        let mut histogram = vec![0; bars];
        for value in &values {
            let share = if high > low { (value - low) / (high - low) } else { 0.0 };
            histogram[((bars as f64 * share).max(0.0) as usize).min(bars - 1)] += 1;
        }
        Some(Self { quantity, unit, count, minimum, median: at(0.5), maximum, range: (low, high), histogram })
    }
}

/// The values of one quantity as they are met.
struct Values {
    drawn: Reservoir<f64>,
    ends: Option<(f64, f64)>,
}

impl Default for Values {
    fn default() -> Self {
        Self { drawn: Reservoir::new(KEPT), ends: None }
    }
}

impl Values {
    fn add(&mut self, value: f64) {
        if value.is_finite() {
            let (low, high) = self.ends.unwrap_or((value, value));
            self.ends = Some((low.min(value), high.max(value)));
            self.drawn.add(|| value);
        }
    }

    fn distribution(&self, quantity: &'static str, unit: &'static str) -> Option<Distribution> {
        let (minimum, maximum) = self.ends?;
        let drawn = self.drawn.kept().iter().copied();
        Some(Distribution { minimum, maximum, ..Distribution::of_some(quantity, unit, self.drawn.met(), drawn)? })
    }
}

/// Sizes of structures and labels as they are met.
#[derive(Default)]
pub(super) struct Sizes {
    atoms: Values,
    energies: Values,
    forces: Values,
    mean_forces: Values,
    stresses: Values,
    mean_stresses: Values,
    shortest: Values,
    volumes: Values,
}

impl Sizes {
    /// Takes a structure without fault into account.
    pub(super) fn add(&mut self, structure: &Structure, found: &Inspection) {
        let atoms = structure.len();
        self.add_known(atoms, structure.energy, None, None, found.pairs.shortest);
        for force in structure.forces.iter().flatten() {
            self.forces.add(force.iter().map(|component| component * component).sum::<f64>().sqrt());
        }
        if let Some(stress) = &structure.stress {
            self.stresses.add(1e3 * (0..3).map(|k| stress[k][k]).sum::<f64>() / 3.0);
        }
        if let Some(cell) = structure.geometry.cell.filter(|_| structure.geometry.periodic == [true; 3]) {
            self.volumes.add(cell.volume() / atoms.max(1) as f64);
        }
    }

    /// The same of a structure of which this is known: energy in eV, root mean squares of its forces in eV/angstrom and of its
    /// stress in eV/angstrom^3, and the shortest distance in angstrom.
    pub(super) fn add_known(
        &mut self,
        atoms: usize,
        energy: Option<f64>,
        force: Option<f64>,
        stress: Option<f64>,
        shortest: Option<f64>,
    ) {
        self.atoms.add(atoms as f64);
        energy.into_iter().for_each(|energy| self.energies.add(energy / atoms.max(1) as f64));
        force.into_iter().for_each(|rms| self.mean_forces.add(rms));
        stress.into_iter().for_each(|rms| self.mean_stresses.add(1e3 * rms));
        shortest.into_iter().for_each(|distance| self.shortest.add(distance));
    }

    /// All that there are values of.
    pub(super) fn distributions(&self) -> Vec<Distribution> {
        let all = [
            (&self.atoms, "atoms of a frame", ""),
            (&self.energies, "energy", "eV/atom"),
            (&self.forces, "force on an atom", "eV/Å"),
            (&self.mean_forces, "force RMS of a frame", "eV/Å"),
            (&self.stresses, "stress, a third of its trace", "meV/Å³"),
            (&self.mean_stresses, "stress RMS of a frame", "meV/Å³"),
            (&self.shortest, "shortest distance", "Å"),
            (&self.volumes, "volume of an atom", "Å³"),
        ];
        all.into_iter().filter_map(|(values, quantity, unit)| values.distribution(quantity, unit)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_exact_and_what_is_far_off_is_in_the_end_bar() {
        let mut values = Values::default();
        (0..100_000).for_each(|k| values.add(f64::from(k % 1000)));
        values.add(1e9);
        values.add(f64::NAN);
        let found = values.distribution("q", "u").unwrap();
        assert_eq!((found.minimum, found.maximum, found.count), (0.0, 1e9, 100_001));
        assert!((found.median - 500.0).abs() < 20.0 && found.range.1 < 1000.0, "{found:?}");
        let least = found.histogram.iter().min().unwrap();
        assert!(found.histogram.len() == 24 && *least > 200, "{found:?}");
    }

    #[test]
    fn one_value_is_one_bar_and_none_are_nothing() {
        let found = Distribution::of_some("q", "", 3, [2.0; 3].into_iter()).unwrap();
        assert_eq!((found.histogram.as_slice(), found.median), (&[3][..], 2.0));
        assert_eq!(Distribution::of_some("q", "", 0, std::iter::empty()), None);
    }
}
