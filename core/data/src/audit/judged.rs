//! What slopes of energies say of forces and stresses, in words: for an audit, and for a look in passing.

use isograd_structure::Units;

use super::bonds::Restoring;
use super::finding::Severity;
use super::slopes::Slope;
use super::units;

/// How well energies must follow labels, for their slope to be believed.
const FOLLOWS: f64 = 0.9;

/// Pairs from which on it is said that energies and forces do not belong together, and the agreement below which they do not.
const UNRELATED: (usize, f64) = (64, 0.5);

/// What is wrong with labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    pub(super) kind: &'static str,
    pub(super) severity: Severity,
    pub(super) says: String,
    /// Lines of a config, where it is known what would be right.
    pub(super) remedy: Option<String>,
}

/// The correlation of lengths and forces of bonds above which forces are taken for gradients.
const TURNED: f64 = 0.3;

/// What is wrong with forces that were read with these units, if anything: near frames say it, or, where there are none, bonds.
pub(super) fn forces(found: Option<Slope>, bonds: Option<Restoring>, units: &Units) -> Option<Judged> {
    match found {
        Some(found) => forces_of_near(found, units),
        None => forces_of_bonds(bonds?, units),
    }
}

fn forces_of_bonds(Restoring { correlation, bonds }: Restoring, units: &Units) -> Option<Judged> {
    (correlation > TURNED).then(|| Judged {
        kind: "force_sign",
        severity: Severity::Warning,
        says: format!(
            "short bonds are pulled together and long ones pushed apart (correlation {correlation:.2} of {bonds} nearest neighbours): \
             forces are probably gradients"
        ),
        remedy: Some(format!("units.forces_are_gradients = {}", !units.forces_are_gradients)),
    })
}

fn forces_of_near(found: Slope, units: &Units) -> Option<Judged> {
    let Slope { slope, agreement, pairs } = found;
    if agreement.abs() < UNRELATED.1 && pairs >= UNRELATED.0 {
        let says = format!(
            "differences of energies do not follow forces (agreement {agreement:.2} of {pairs} pairs of near frames): they may be of \
             other calculations, or of other frames"
        );
        return Some(Judged { kind: "forces_unrelated", severity: Severity::Warning, says, remedy: None });
    }
    if agreement.abs() < FOLLOWS {
        return None;
    }
    let found = units::of_forces(slope, units)?;
    let meaning = match (found.turned, found.scaled) {
        (true, false) => "they are gradients",
        (true, true) => "they are gradients in another unit",
        _ => "forces or energies are in another unit",
    };
    Some(Judged {
        kind: if found.scaled { "force_unit" } else { "force_sign" },
        severity: Severity::Error,
        says: format!(
            "energies differ by {slope:.3} times what forces say, in {pairs} pairs of near frames: {meaning}"
        ),
        remedy: found.remedy,
    })
}

/// The same of stresses.
pub(super) fn stresses(found: Slope, units: &Units) -> Option<Judged> {
    let Slope { slope, agreement, pairs } = found;
    if agreement.abs() < FOLLOWS {
        return None;
    }
    let found = units::of_stresses(slope, units)?;
    let meaning = match (found.turned, found.scaled) {
        (true, false) => "compression is positive",
        (true, true) => "compression is positive, in another unit",
        _ => "they are in another unit",
    };
    Some(Judged {
        kind: if found.scaled { "stress_unit" } else { "stress_sign" },
        severity: Severity::Error,
        says: format!(
            "energies differ by {slope:.3e} times what stresses say (agreement {agreement:.2} of {pairs} pairs of frames of other \
             volumes): {meaning}"
        ),
        remedy: found.remedy,
    })
}
