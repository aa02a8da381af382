//! Stresses of a source: their size, and their sign held against the energies of frames of other volumes.
//!
//! Where a crystal is strained, `dE/dV = tr(stress) / 3` with tension positive. Of frames of one composition, neighbours by
//! volume are compared: the difference of their energies, and what their stresses say of it. Frames that are no strained
//! copies of each other have differences that go both ways, and then nothing is said.

use std::collections::BTreeMap;

use isograd_structure::Structure;

/// RMS of a component in eV/angstrom^3 (80 GPa) above which units are probably others.
const LARGE: f64 = 0.5;

/// The same below which they are (0.16 MPa).
const SMALL: f64 = 1e-6;

/// Relative differences of volumes of frames that are compared.
const VOLUMES: (f64, f64) = (2e-3, 0.1);

/// Pairs of frames from which on a sign is believed, and how well they must agree on it.
const PAIRS: usize = 8;
const AGREEMENT: f64 = 0.5;

/// Compositions, and frames of each, that are remembered.
const COMPOSITIONS: usize = 256;
const FRAMES: usize = 64;

/// Volume, energy and a third of the stress's trace, per atom.
type Strained = [f64; 3];

/// What is known of the stresses of a source.
#[derive(Debug, Clone, Default)]
pub(super) struct Stresses {
    squares: f64,
    components: usize,
    strained: BTreeMap<String, Vec<Strained>>,
}

impl Stresses {
    pub(super) fn add(&mut self, structure: &Structure) {
        let Some(stress) = &structure.stress else { return };
        self.squares += stress.as_flattened().iter().map(|x| x * x).sum::<f64>();
        self.components += 9;
        let (Some(cell), Some(energy)) = (&structure.geometry.cell, structure.energy) else { return };
        let formula = structure.formula();
        if self.strained.len() >= COMPOSITIONS && !self.strained.contains_key(&formula) {
            return;
        }
        let frames = self.strained.entry(formula).or_default();
        if frames.len() < FRAMES {
            let atoms = structure.len() as f64;
            frames.push([cell.volume() / atoms, energy / atoms, (0..3).map(|k| stress[k][k]).sum::<f64>() / 3.0]);
        }
    }

    /// Root mean square of a component, eV/angstrom^3.
    pub(super) fn rms(&self) -> Option<f64> {
        (self.components > 0).then(|| (self.squares / self.components as f64).sqrt())
    }

    /// How well differences of energies agree with what stresses say of them: 1 fully, -1 with the other sign; `None` where too
    /// few frames can be compared.
    fn agreement(&self) -> Option<f64> {
        let (mut products, mut found, mut expected, mut pairs) = (0.0, 0.0, 0.0, 0);
        for frames in self.strained.values() {
            let mut frames = frames.clone();
            frames.sort_by(|a, b| a[0].total_cmp(&b[0]));
            for pair in frames.windows(2) {
                let [[v, e, p], [w, f, q]] = [pair[0], pair[1]];
                if ((w - v) / v < VOLUMES.0) || ((w - v) / v > VOLUMES.1) {
                    continue;
                }
                let said = 0.5 * (p + q) * (w - v);
                products += said * (f - e);
                found += (f - e).powi(2);
                expected += said * said;
                pairs += 1;
            }
        }
        let size = (found * expected).sqrt();
        (pairs >= PAIRS && size > 0.0).then(|| products / size)
    }

    /// Sentences about what is unusual.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.rms().is_some_and(|rms| rms > LARGE || (rms > 0.0 && rms < SMALL)) {
            out.push("the size of the stresses is unusual for eV/angstrom^3; check `units.stress`".into());
        }
        if self.agreement().is_some_and(|agreement| agreement < -AGREEMENT) {
            out.push(
                "energies of frames of other volumes say that stresses have the other sign; set `units.stress_sign` to \
                 \"compression-positive\", or to \"tension-positive\" where it is that"
                    .into(),
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_structure::{Cell, Element, Geometry};

    /// A crystal with `E = k (V - V_0)^2 / (2 V_0)` and the stress that follows.
    fn strained(count: usize, sign: f64, noise: f64) -> Stresses {
        let mut stresses = Stresses::default();
        for k in 0..count {
            let edge = 3.8 + 0.03 * k as f64;
            let rest = edge.powi(3) - 64.0;
            let wobble = noise * (7.3 * k as f64).sin();
            let pressure = sign * 0.8 * rest / 64.0;
            let structure = Structure {
                geometry: Geometry {
                    positions: vec![[0.0; 3]],
                    cell: Some(Cell([[edge, 0.0, 0.0], [0.0, edge, 0.0], [0.0, 0.0, edge]])),
                    periodic: [true; 3],
                },
                elements: Element::from_number(29).into_iter().collect(),
                energy: Some(0.4 * rest * rest / 64.0 + wobble - 3.0),
                stress: Some([[pressure, 0.0, 0.0], [0.0, pressure, 0.0], [0.0, 0.0, pressure]]),
                ..Structure::default()
            };
            stresses.add(&structure);
        }
        stresses
    }

    #[test]
    fn the_wrong_sign_is_told_from_the_right_one() {
        assert!(strained(20, 1.0, 0.0).warnings().is_empty());
        assert!(strained(20, 1.0, 0.0).agreement().is_some_and(|agreement| agreement > 0.99));
        let said = strained(20, -1.0, 0.0).warnings();
        assert!(said.len() == 1 && said[0].contains("compression-positive"), "{said:?}");
    }

    #[test]
    fn too_few_frames_and_other_differences_say_nothing() {
        assert_eq!(strained(5, -1.0, 0.0).agreement(), None);
        // Energies that differ for other reasons.
        assert!(strained(20, -1.0, 30.0).warnings().is_empty());
    }

    #[test]
    fn unconverted_units_are_noticed() {
        let said = strained(4, 1602.0, 0.0).warnings();
        assert!(said.len() == 1 && said[0].contains("units.stress"), "{said:?}");
    }
}
