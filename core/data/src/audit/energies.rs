//! Energies of a source, held against what atoms of its elements contribute on average.

use isograd_structure::Element;

use crate::{Fit, ReferenceSums};

/// Times that a fit is made without what the one before found far off.
const ROUNDS: usize = 3;

/// Deviations, in robust ones, that a fit is not made of.
const TRIMMED: f64 = 8.0;

/// Smallest robust deviation in eV per atom; below, energies fit to the last digits.
const SMALLEST: f64 = 1e-4;

/// A median of absolute deviations as a standard deviation of a normal distribution.
const NORMAL: f64 = 1.4826;

/// How much better energies must fit as energies per atom than as totals, and how well.
const BETTER: f64 = 4.0;
const WELL: f64 = 0.3;

/// The composition of a frame, and its energy in eV.
pub(super) type Labelled<'a> = (&'a [(Element, u32)], f64);

/// How energies lie about a fit of reference energies.
#[derive(Debug, Clone)]
pub(super) struct Residuals {
    /// The fit, of the frames that are not far off.
    pub(super) fit: Fit,
    /// What is left of each energy, in eV per atom, less the median.
    pub(super) left: Vec<f64>,
    /// The robust standard deviation of what is left.
    pub(super) deviation: f64,
}

/// The middle one of some numbers; 0 of none.
pub(super) fn median(numbers: &mut [f64]) -> f64 {
    if numbers.is_empty() {
        return 0.0;
    }
    let middle = numbers.len() / 2;
    *numbers.select_nth_unstable_by(middle, f64::total_cmp).1
}

fn counts(composition: &[(Element, u32)]) -> Vec<(Element, usize)> {
    composition.iter().map(|&(element, count)| (element, count as usize)).collect()
}

fn atoms(composition: &[(Element, u32)]) -> f64 {
    composition.iter().map(|(_, count)| f64::from(*count)).sum()
}

/// Fits reference energies without the frames that are far off, and says how far each is.
pub(super) fn residuals(labelled: &[Labelled<'_>]) -> Residuals {
    let mut far = vec![false; labelled.len()];
    let mut found = None;
    for _ in 0..ROUNDS {
        let mut sums = ReferenceSums::default();
        for ((composition, energy), _) in labelled.iter().zip(&far).filter(|(_, far)| !**far) {
            sums.add_counts(counts(composition), *energy);
        }
        let fit = sums.fit();
        let rest = |(composition, energy): &Labelled<'_>| {
            let known = |(element, count): &(Element, u32)| {
                f64::from(*count) * fit.references.0.get(element).copied().unwrap_or_default()
            };
            (energy - composition.iter().map(known).sum::<f64>()) / atoms(composition)
        };
        let mut left: Vec<f64> = labelled.iter().map(rest).collect();
        let middle = median(&mut left.clone());
        left.iter_mut().for_each(|value| *value -= middle);
        let deviation = NORMAL * median(&mut left.iter().map(|value| value.abs()).collect::<Vec<_>>());
        let deviation = deviation.max(SMALLEST);
        far = left.iter().map(|value| value.abs() > TRIMMED * deviation).collect();
        found = Some(Residuals { fit, left, deviation });
    }
    // There is at least one round.
    found.unwrap_or_else(|| Residuals { fit: ReferenceSums::default().fit(), left: Vec::new(), deviation: SMALLEST })
}

/// Whether energies that are called total ones are energies per atom: frames of several sizes whose energies are nearly what
/// shares of elements say, and much less so if they are taken for totals.
pub(super) fn are_per_atom(labelled: &[Labelled<'_>]) -> bool {
    let unexplained = |energy: &dyn Fn(&Labelled<'_>) -> f64| {
        let mut sums = ReferenceSums::default();
        let (mut sum, mut squares) = (0.0, 0.0);
        for one in labelled {
            let per_atom = energy(one) / atoms(one.0);
            sum += per_atom;
            squares += per_atom * per_atom;
            sums.add_counts(counts(one.0), energy(one));
        }
        let count = labelled.len().max(1) as f64;
        let spread = (squares / count - (sum / count).powi(2)).max(0.0).sqrt();
        if spread > 0.0 { sums.fit().residual_rms / spread } else { 1.0 }
    };
    let as_totals = unexplained(&|one| one.1);
    let as_per_atom = unexplained(&|one| one.1 * atoms(one.0));
    as_per_atom < WELL && as_totals > BETTER * as_per_atom
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Molecules of carbon and hydrogen, with energies that are a little off.
    fn molecules(count: usize) -> Vec<(Vec<(Element, u32)>, f64)> {
        let [h, c] = [1, 6].map(|number| Element::from_number(number).unwrap());
        let one = |k: usize| {
            let (carbon, hydrogen) = (1 + k as u32 % 4, 2 + k as u32 % 7);
            let off = 0.02 * (k as f64 * 12.9898).sin() * f64::from(carbon + hydrogen);
            (vec![(h, hydrogen), (c, carbon)], -13.6 * f64::from(hydrogen) - 1030.0 * f64::from(carbon) + off)
        };
        (0..count).map(one).collect()
    }

    fn borrowed(owned: &[(Vec<(Element, u32)>, f64)]) -> Vec<Labelled<'_>> {
        owned.iter().map(|(composition, energy)| (composition.as_slice(), *energy)).collect()
    }

    #[test]
    fn what_is_far_off_does_not_bend_the_fit() {
        let mut owned = molecules(200);
        owned[17].1 += 400.0;
        owned[90].1 = 0.0;
        let found = residuals(&borrowed(&owned));
        assert!(found.deviation > 0.005 && found.deviation < 0.03, "{}", found.deviation);
        let far: Vec<usize> = (0..200).filter(|&k| found.left[k].abs() > 20.0 * found.deviation).collect();
        assert_eq!(far, [17, 90]);
        let references: Vec<f64> = found.fit.references.0.values().copied().collect();
        assert!((references[0] + 13.6).abs() < 0.1 && (references[1] + 1030.0).abs() < 0.1, "{references:?}");
    }

    #[test]
    fn energies_per_atom_are_told_from_totals() {
        let mut owned = molecules(200);
        assert!(!are_per_atom(&borrowed(&owned)));
        owned.iter_mut().for_each(|(composition, energy)| *energy /= atoms(composition));
        assert!(are_per_atom(&borrowed(&owned)));
        // One size says nothing.
        let same: Vec<_> = (0..50).map(|k| (owned[0].0.clone(), -100.0 + 0.01 * f64::from(k))).collect();
        assert!(!are_per_atom(&borrowed(&same)));
        assert!(!are_per_atom(&[]));
    }
}
