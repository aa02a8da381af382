//! Units that a database declares in its metadata, as those of SchNetPack do: `_distance_unit` for positions and cells,
//! `_property_unit_dict` for what is in `data`. Databases that declare none are in ASE's units throughout.

use std::collections::BTreeMap;

use isograd_structure::{EnergyUnit, LengthUnit, StressUnit};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::array::shown;

/// Factors to eV and angstrom.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Declared {
    length: Option<f64>,
    notes: BTreeMap<String, f64>,
}

impl Declared {
    /// Reads the metadata of a database.
    ///
    /// # Errors
    /// A sentence about a unit of lengths, energies, forces or stresses that is not known. Other units are left as they
    /// are.
    pub(super) fn of_metadata(metadata: &Value) -> Result<Self, String> {
        let mut declared = Self::default();
        if let Some(unit) = metadata.get("_distance_unit").filter(|unit| !unit.is_null()) {
            let known = unit.as_str().and_then(length);
            declared.length = Some(known.ok_or_else(|| unknown("_distance_unit", unit))?);
        }
        for (name, unit) in metadata.get("_property_unit_dict").and_then(Value::as_object).into_iter().flatten() {
            let label = ["energy", "forces", "stress", "virial"].contains(&name.as_str());
            match unit.as_str().map_or(unit.is_null().then_some(1.0), factor) {
                Some(factor) => declared.notes.extend((factor != 1.0).then(|| (name.clone(), factor))),
                None if label => return Err(unknown(name, unit)),
                None => {}
            }
        }
        Ok(declared)
    }

    /// What positions and cells are multiplied by.
    pub(super) fn of_lengths(&self) -> Option<f64> {
        self.length.filter(|&factor| factor != 1.0)
    }

    /// What a note is multiplied by.
    pub(super) fn of_note(&self, name: &str) -> Option<f64> {
        self.notes.get(name).copied()
    }
}

fn unknown(name: &str, unit: &Value) -> String {
    let expected = "expected units as in `eV`, `kcal/mol`, `Hartree/Bohr`, `Ang`";
    format!("declares the unit `{}` for `{name}`, {expected}", shown(unit))
}

/// What a number in this unit is multiplied by; 1 where it has none.
fn factor(unit: &str) -> Option<f64> {
    if matches!(unit, "" | "1" | "None") {
        return Some(1.0);
    }
    energy(unit).or_else(|| length(unit)).or_else(|| stress(unit)).or_else(|| {
        let (above, below) = unit.rsplit_once('/')?;
        let cube = below.strip_suffix("^3").or(below.strip_suffix("**3"));
        Some(energy(above)? / cube.map_or_else(|| length(below), |below| Some(length(below)?.powi(3)))?)
    })
}

fn energy(unit: &str) -> Option<f64> {
    named(unit).map(EnergyUnit::in_ev)
}

fn stress(unit: &str) -> Option<f64> {
    named(unit).map(StressUnit::in_ev_per_cubic_angstrom)
}

fn length(unit: &str) -> Option<f64> {
    let unit = match unit {
        "Ang" => "angstrom",
        "a0" => "bohr",
        other => other,
    };
    named(unit).map(LengthUnit::in_angstrom)
}

/// The unit of this name.
fn named<U: DeserializeOwned>(name: &str) -> Option<U> {
    serde_json::from_value(Value::from(name)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use serde_json::json;

    #[test]
    fn declared_units_are_converted() {
        let units = json!({
            "energy": "kcal/mol", "forces": "kcal/mol/Ang", "gap": "eV", "dipole": "Debye", "n": null, "r2": "1",
            "gradient": "Hartree/Bohr", "stress": "Ha/a0^3", "radius": "a0", "pressure": "GPa",
        });
        let declared = Declared::of_metadata(&json!({"_distance_unit": "Bohr", "_property_unit_dict": units})).unwrap();
        assert_relative_eq!(declared.of_lengths().unwrap(), 0.529_177_210_903);
        assert_relative_eq!(declared.of_note("energy").unwrap(), 0.043_364_104, max_relative = 1e-6);
        assert_eq!(declared.of_note("forces"), declared.of_note("energy"));
        assert_relative_eq!(declared.of_note("gradient").unwrap(), 51.422_067_5, max_relative = 1e-8);
        assert_relative_eq!(declared.of_note("stress").unwrap(), 183.631_5, max_relative = 1e-6);
        assert_relative_eq!(declared.of_note("radius").unwrap(), 0.529_177_210_903);
        assert_relative_eq!(declared.of_note("pressure").unwrap(), 6.241_509e-3, max_relative = 1e-6);
        for name in ["gap", "dipole", "n", "r2", "other"] {
            assert_eq!(declared.of_note(name), None, "{name}");
        }
    }

    #[test]
    fn nothing_declared_is_nothing_to_convert() {
        for metadata in
            [json!({}), json!(null), json!({"_distance_unit": "Ang", "_property_unit_dict": {"energy": "eV"}})]
        {
            let declared = Declared::of_metadata(&metadata).unwrap();
            assert_eq!((declared.of_lengths(), declared.of_note("energy")), (None, None));
        }
    }

    #[test]
    fn labels_of_unknown_units_are_refused() {
        for (metadata, expected) in [
            (json!({"_distance_unit": "furlong"}), "declares the unit `\"furlong\"` for `_distance_unit`"),
            (json!({"_distance_unit": 1}), "declares the unit `1`"),
            (
                json!({"_property_unit_dict": {"energy": "K"}}),
                "declares the unit `\"K\"` for `energy`, expected units as in",
            ),
            (json!({"_property_unit_dict": {"forces": "eV/K"}}), "for `forces`"),
        ] {
            let message = Declared::of_metadata(&metadata).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
