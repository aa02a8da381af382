//! From the slope of energies over what labels say of them to the line of a config that mends it.

use isograd_structure::{EnergyUnit, ForceUnit, LengthUnit, StressSign, StressUnit, Units};

/// How far from 1 the size of a slope may be where units are right: the nearest other unit of forces is 1.89 times one that is taken for it,
/// and bonds that are not harmonic make slopes of hot molecules too small.
const RIGHT: f64 = 1.6;

/// How near to the factor of a unit a slope has to be.
const NEAR: f64 = 1.08;

/// What a slope says of labels: nothing where it is about 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Diagnosis {
    /// Whether the sign is the other one.
    pub(super) turned: bool,
    /// Whether sizes are others.
    pub(super) scaled: bool,
    /// Lines of a config, where a sign and a unit are known that would be right.
    pub(super) remedy: Option<String>,
}

fn is_within(ratio: f64, factor: f64) -> bool {
    ratio < factor && ratio > 1.0 / factor
}

/// The unit whose factor is next to `factor`, if one is near.
fn nearest<T: Copy>(units: impl Iterator<Item = (T, f64)>, factor: f64) -> Option<T> {
    let off = |own: f64| (own / factor).ln().abs();
    let best = units.min_by(|a, b| off(a.1).total_cmp(&off(b.1)))?;
    is_within(best.1 / factor, NEAR).then_some(best.0)
}

fn diagnosis(slope: f64, lines: impl FnOnce(bool, bool) -> Option<Vec<String>>) -> Option<Diagnosis> {
    let (turned, scaled) = (slope < 0.0, !is_within(slope.abs(), RIGHT));
    (turned || scaled).then(|| Diagnosis {
        turned,
        scaled,
        remedy: lines(turned, scaled).map(|lines| lines.join(", ")),
    })
}

/// What a slope says of forces that were read with these units.
pub(super) fn of_forces(slope: f64, units: &Units) -> Option<Diagnosis> {
    diagnosis(slope, |turned, scaled| {
        let mut lines = Vec::new();
        if scaled {
            let all = EnergyUnit::ALL.into_iter().flat_map(|energy| {
                LengthUnit::ALL.map(|length| ForceUnit { energy, length }).map(|unit| (unit, unit.in_ev_per_angstrom()))
            });
            let unit = nearest(all, slope.abs() * units.force_factor().abs())?;
            lines.push(format!("units.force = \"{unit}\""));
        }
        if turned {
            lines.push(format!("units.forces_are_gradients = {}", !units.forces_are_gradients));
        }
        Some(lines)
    })
}

/// What a slope says of stresses that were read with these units.
pub(super) fn of_stresses(slope: f64, units: &Units) -> Option<Diagnosis> {
    diagnosis(slope, |turned, scaled| {
        let mut lines = Vec::new();
        if scaled {
            let all = StressUnit::ALL.into_iter().map(|unit| (unit, unit.in_ev_per_cubic_angstrom()));
            let unit = nearest(all, slope.abs() * units.stress_factor().abs())?;
            lines.push(format!("units.stress = \"{}\"", unit.name()));
        }
        if turned {
            let sign = match units.stress_sign {
                StressSign::TensionPositive => "compression-positive",
                StressSign::CompressionPositive => "tension-positive",
            };
            lines.push(format!("units.stress_sign = \"{sign}\""));
        }
        Some(lines)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_told_as_lines_of_a_config() {
        let forces = |slope: f64, units: &Units| of_forces(slope, units).map(|found| found.remedy);
        let plain = Units::default();
        assert_eq!((forces(0.97, &plain), forces(0.7, &plain)), (None, None));
        assert_eq!(forces(-1.02, &plain).unwrap().unwrap(), "units.forces_are_gradients = true");
        assert_eq!(forces(1.88, &plain).unwrap().unwrap(), "units.force = \"eV/bohr\"");
        assert_eq!(
            forces(-0.0434, &plain).unwrap().unwrap(),
            "units.force = \"kcal/mol/angstrom\", units.forces_are_gradients = true"
        );
        assert_eq!(forces(7.0, &plain).unwrap(), None);
        // Energies in Hartree with lengths in angstrom, and forces in Hartree/bohr: converted, they are 1.89 too small.
        let hartree = Units { energy: EnergyUnit::Hartree, ..plain };
        assert_eq!(forces(1.89, &hartree).unwrap().unwrap(), "units.force = \"Hartree/bohr\"");
        let stresses = |slope: f64| of_stresses(slope, &plain).unwrap().remedy.unwrap();
        assert_eq!(stresses(-6.2e-4), "units.stress = \"kbar\", units.stress_sign = \"compression-positive\"");
        assert_eq!(stresses(-1.1), "units.stress_sign = \"compression-positive\"");
        assert!(of_stresses(1.0, &plain).is_none());
    }
}
