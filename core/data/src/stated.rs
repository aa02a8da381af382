//! What a frame itself says of its units, held against those that it is read in.

use std::fmt::Debug;

use isograd_structure::{EnergyUnit, LengthUnit, StressUnit, Units};

use crate::formats::Frame;

/// Refuses a frame whose keys name other units than those that it is read in, as `energy-unit=hartree` does.
///
/// # Errors
/// A sentence with the setting that is meant.
pub(crate) fn check_units(frame: &Frame, units: &Units) -> Result<(), String> {
    for (key, value) in frame.header.iter() {
        let Some(of) = unit_of(key) else { continue };
        let text = value.text();
        match of {
            "energy" => differs(key, &text, of, "energies are", units.energy, energy(&text), EnergyUnit::name)?,
            "length" => differs(key, &text, of, "lengths are", units.length, length(&text), LengthUnit::name)?,
            _ => differs(key, &text, of, "stresses are", units.stress, stress(&text), StressUnit::name)?,
        }
    }
    Ok(())
}

/// What a key names the unit of, if it does.
fn unit_of(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    let words: Vec<&str> = key.split(['-', '_', ' ', '.']).collect();
    match words[..] {
        [what, "unit" | "units"] | ["unit" | "units", what] => match what {
            "energy" | "energies" => Some("energy"),
            "length" | "lengths" | "position" | "positions" => Some("length"),
            "stress" | "stresses" => Some("stress"),
            _ => None,
        },
        _ => None,
    }
}

fn differs<T: PartialEq + Copy + Debug>(
    key: &str,
    text: &str,
    of: &str,
    what: &str,
    read: T,
    stated: Option<T>,
    name: fn(T) -> &'static str,
) -> Result<(), String> {
    match stated {
        Some(stated) if stated != read => Err(format!(
            "`{key}={text}`, and {what} read in {}: set units = {{ {of} = \"{}\" }}",
            name(read),
            name(stated)
        )),
        _ => Ok(()),
    }
}

fn letters(text: &str) -> String {
    text.to_lowercase().chars().filter(|letter| !letter.is_whitespace()).collect()
}

/// Units as people spell them; `None` of what is none that can be read.
fn energy(text: &str) -> Option<EnergyUnit> {
    Some(match letters(text).as_str() {
        "ev" | "electronvolt" | "electronvolts" => EnergyUnit::ElectronVolt,
        "hartree" | "hartrees" | "ha" | "eh" | "a.u." | "au" => EnergyUnit::Hartree,
        "ry" | "rydberg" | "rydbergs" => EnergyUnit::Rydberg,
        "kcal/mol" => EnergyUnit::KilocaloriePerMole,
        "kj/mol" => EnergyUnit::KilojoulePerMole,
        "mev" => EnergyUnit::MilliElectronVolt,
        _ => return None,
    })
}

fn length(text: &str) -> Option<LengthUnit> {
    Some(match letters(text).as_str() {
        "angstrom" | "angstroms" | "ang" | "a" | "å" => LengthUnit::Angstrom,
        "bohr" | "a.u." | "au" => LengthUnit::Bohr,
        "nm" | "nanometre" | "nanometer" => LengthUnit::Nanometre,
        _ => return None,
    })
}

fn stress(text: &str) -> Option<StressUnit> {
    Some(match letters(text).as_str() {
        "ev/a^3" | "ev/angstrom^3" | "ev/å^3" | "ev/a3" | "ev/ang^3" => StressUnit::ElectronVoltPerCubicAngstrom,
        "bar" => StressUnit::Bar,
        "kbar" | "kb" | "kilobar" => StressUnit::Kilobar,
        "gpa" => StressUnit::Gigapascal,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(key: &str, value: &str, units: &Units) -> Result<(), String> {
        check_units(&Frame::default().with("step", 3.0).with(key, value), units)
    }

    #[test]
    fn other_units_are_refused_with_the_setting() {
        let plain = Units::default();
        let message = said("energy-unit", "hartree", &plain).unwrap_err();
        assert_eq!(message, "`energy-unit=hartree`, and energies are read in eV: set units = { energy = \"Hartree\" }");
        let message = said("Stress_Units", "GPa", &plain).unwrap_err();
        assert!(message.contains("stresses are read in eV/angstrom^3: set units = { stress = \"GPa\" }"), "{message}");
        assert!(said("position-unit", "Bohr", &plain).unwrap_err().contains("length = \"bohr\""));
    }

    #[test]
    fn units_that_are_set_and_words_that_are_none_pass() {
        let hartree = Units { energy: EnergyUnit::Hartree, ..Units::default() };
        assert!(said("energy-unit", "Ha", &hartree).is_ok());
        assert!(said("energy-unit", "eV", &hartree).is_err());
        for (key, value) in [("energy_unit", "eV"), ("unit_cell", "bohr"), ("energy", "bar"), ("energy-unit", "cal")] {
            assert!(said(key, value, &Units::default()).is_ok(), "{key}");
        }
    }
}
