//! Units that a source may declare, and their factors to eV, angstrom and eV/angstrom^3.
//!
//! Factors are CODATA 2018: 1 Hartree = 27.211386245988 eV, 1 bohr = 0.529177210903 angstrom.

use std::fmt;
use std::str::FromStr;

use serde::de::IntoDeserializer;
use serde::de::value::{Error as NoUnit, StrDeserializer};
use serde::{Deserialize, Serialize};

const HARTREE: f64 = 27.211_386_245_988;
const BOHR: f64 = 0.529_177_210_903;
const JOULE_IN_EV: f64 = 1.0 / 1.602_176_634e-19;
const AVOGADRO: f64 = 6.022_140_76e23;

/// Unit of energies (and, with the length unit, of forces).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum EnergyUnit {
    /// Electronvolt.
    #[default]
    #[serde(rename = "eV")]
    ElectronVolt,
    /// Hartree.
    #[serde(rename = "Hartree", alias = "hartree", alias = "Ha")]
    Hartree,
    /// Rydberg, half a Hartree.
    #[serde(rename = "Ry", alias = "Rydberg", alias = "rydberg")]
    Rydberg,
    /// Kilocalorie (thermochemical) per mole.
    #[serde(rename = "kcal/mol")]
    KilocaloriePerMole,
    /// Kilojoule per mole.
    #[serde(rename = "kJ/mol")]
    KilojoulePerMole,
    /// Millielectronvolt.
    #[serde(rename = "meV")]
    MilliElectronVolt,
}

impl EnergyUnit {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ElectronVolt,
        Self::Hartree,
        Self::Rydberg,
        Self::KilocaloriePerMole,
        Self::KilojoulePerMole,
        Self::MilliElectronVolt,
    ];

    /// Its name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::ElectronVolt => "eV",
            Self::Hartree => "Hartree",
            Self::Rydberg => "Ry",
            Self::KilocaloriePerMole => "kcal/mol",
            Self::KilojoulePerMole => "kJ/mol",
            Self::MilliElectronVolt => "meV",
        }
    }

    /// How many eV one unit is.
    pub fn in_ev(self) -> f64 {
        match self {
            Self::ElectronVolt => 1.0,
            Self::MilliElectronVolt => 1e-3,
            Self::Hartree => HARTREE,
            Self::Rydberg => HARTREE / 2.0,
            Self::KilocaloriePerMole => 4184.0 / AVOGADRO * JOULE_IN_EV,
            Self::KilojoulePerMole => 1000.0 / AVOGADRO * JOULE_IN_EV,
        }
    }
}

/// Unit of positions and cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LengthUnit {
    /// Angstrom.
    #[default]
    #[serde(rename = "angstrom", alias = "Angstrom", alias = "A")]
    Angstrom,
    /// Bohr radius.
    #[serde(rename = "bohr", alias = "Bohr")]
    Bohr,
    /// Nanometre.
    #[serde(rename = "nm")]
    Nanometre,
}

impl LengthUnit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Angstrom, Self::Bohr, Self::Nanometre];

    /// Its name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Angstrom => "angstrom",
            Self::Bohr => "bohr",
            Self::Nanometre => "nm",
        }
    }

    /// How many angstrom one unit is.
    pub fn in_angstrom(self) -> f64 {
        match self {
            Self::Angstrom => 1.0,
            Self::Bohr => BOHR,
            Self::Nanometre => 10.0,
        }
    }
}

/// Unit of forces that are not in the units of energies and lengths: as in `Hartree/bohr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ForceUnit {
    /// The energy.
    pub energy: EnergyUnit,
    /// What it is divided by.
    pub length: LengthUnit,
}

impl ForceUnit {
    /// How many eV/angstrom one unit is.
    pub fn in_ev_per_angstrom(self) -> f64 {
        self.energy.in_ev() / self.length.in_angstrom()
    }
}

impl fmt::Display for ForceUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.energy.name(), self.length.name())
    }
}

impl FromStr for ForceUnit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        fn unit<'de, T: Deserialize<'de>>(text: &'de str) -> Option<T> {
            let text: StrDeserializer<'de, NoUnit> = text.into_deserializer();
            T::deserialize(text).ok()
        }
        let parts = text.rsplit_once('/').and_then(|(energy, length)| Some((unit(energy)?, unit(length)?)));
        let (energy, length) = parts.ok_or_else(|| {
            format!("`{text}` is no unit of forces: expected an energy over a length, as in `Hartree/bohr` or `kcal/mol/angstrom`")
        })?;
        Ok(Self { energy, length })
    }
}

impl TryFrom<String> for ForceUnit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ForceUnit> for String {
    fn from(unit: ForceUnit) -> String {
        unit.to_string()
    }
}

/// Unit of stresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StressUnit {
    /// eV/angstrom^3.
    #[default]
    #[serde(rename = "eV/angstrom^3", alias = "eV/A^3")]
    ElectronVoltPerCubicAngstrom,
    /// Bar.
    #[serde(rename = "bar")]
    Bar,
    /// Kilobar.
    #[serde(rename = "kbar")]
    Kilobar,
    /// Gigapascal.
    #[serde(rename = "GPa")]
    Gigapascal,
}

impl StressUnit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ElectronVoltPerCubicAngstrom, Self::Bar, Self::Kilobar, Self::Gigapascal];

    /// Its name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::ElectronVoltPerCubicAngstrom => "eV/angstrom^3",
            Self::Bar => "bar",
            Self::Kilobar => "kbar",
            Self::Gigapascal => "GPa",
        }
    }

    /// How many eV/angstrom^3 one unit is.
    pub fn in_ev_per_cubic_angstrom(self) -> f64 {
        let pascal = JOULE_IN_EV * 1e-30;
        match self {
            Self::ElectronVoltPerCubicAngstrom => 1.0,
            Self::Bar => 1e5 * pascal,
            Self::Kilobar => 1e8 * pascal,
            Self::Gigapascal => 1e9 * pascal,
        }
    }
}

/// Which sign of a stress means tension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StressSign {
    /// Tension is positive, as in ASE.
    #[default]
    TensionPositive,
    /// Compression is positive, as in VASP's output.
    CompressionPositive,
}

/// The units of one source, declared once and converted once, when a frame is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Units {
    /// Energies; also of forces, which are energy over length. Default `eV`.
    pub energy: EnergyUnit,
    /// Forces, where they are in other units than energies and lengths: as in `Hartree/bohr`. Default: energy over length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<ForceUnit>,
    /// Positions and cells. Default `angstrom`.
    pub length: LengthUnit,
    /// Stresses. Default `eV/angstrom^3`. A virial is in the energy unit.
    pub stress: StressUnit,
    /// Default `tension-positive`.
    pub stress_sign: StressSign,
    /// True where the file's energies are energies per atom rather than of all atoms. Default `false`.
    pub energies_are_per_atom: bool,
    /// True where the file's forces are gradients, that is, have the other sign. Default `false`.
    pub forces_are_gradients: bool,
}

impl Units {
    /// Factor from the file's energy of so many atoms to their total energy in eV.
    pub fn energy_factor(&self, atoms: usize) -> f64 {
        let per = if self.energies_are_per_atom { atoms as f64 } else { 1.0 };
        per * self.energy.in_ev()
    }

    /// Factor from the file's forces to eV/angstrom, with the sign.
    pub fn force_factor(&self) -> f64 {
        let sign = if self.forces_are_gradients { -1.0 } else { 1.0 };
        let unit = self.force.unwrap_or(ForceUnit { energy: self.energy, length: self.length });
        sign * unit.in_ev_per_angstrom()
    }

    /// Factor from the file's stress to eV/angstrom^3 with tension positive.
    pub fn stress_factor(&self) -> f64 {
        let sign = match self.stress_sign {
            StressSign::TensionPositive => 1.0,
            StressSign::CompressionPositive => -1.0,
        };
        sign * self.stress.in_ev_per_cubic_angstrom()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn factors_match_published_values() {
        assert_relative_eq!(EnergyUnit::KilocaloriePerMole.in_ev(), 0.043_364_104, max_relative = 1e-7);
        assert_relative_eq!(EnergyUnit::KilojoulePerMole.in_ev(), 0.010_364_27, max_relative = 1e-6);
        assert_relative_eq!(StressUnit::Kilobar.in_ev_per_cubic_angstrom(), 6.241_509_1e-4, max_relative = 1e-7);
        assert_relative_eq!(StressUnit::Bar.in_ev_per_cubic_angstrom(), 6.241_509_1e-7, max_relative = 1e-7);
        assert_relative_eq!(EnergyUnit::Rydberg.in_ev(), 13.605_693_123, max_relative = 1e-10);
        let atomic = Units { energy: EnergyUnit::Hartree, length: LengthUnit::Bohr, ..Default::default() };
        assert_relative_eq!(atomic.force_factor(), 51.422_067, max_relative = 1e-7);
        let mixed = Units { force: Some("Hartree/bohr".parse().unwrap()), ..Default::default() };
        assert_relative_eq!(mixed.force_factor(), 51.422_067, max_relative = 1e-7);
    }

    #[test]
    fn units_of_forces_are_an_energy_over_a_length() {
        for (text, expected) in [("kcal/mol/A", "kcal/mol/angstrom"), ("Ha/bohr", "Hartree/bohr"), ("eV/nm", "eV/nm")] {
            assert_eq!(text.parse::<ForceUnit>().unwrap().to_string(), expected);
        }
        for wrong in ["", "eV", "eV/", "newton", "angstrom/eV"] {
            assert!(wrong.parse::<ForceUnit>().unwrap_err().contains("expected an energy over a length"), "{wrong}");
        }
    }

    #[test]
    fn names_are_those_of_a_config() {
        fn read<'de, T: Deserialize<'de>>(name: &'de str) -> T {
            let text: StrDeserializer<'de, NoUnit> = name.into_deserializer();
            T::deserialize(text).unwrap()
        }
        EnergyUnit::ALL.iter().for_each(|unit| assert_eq!(read::<EnergyUnit>(unit.name()), *unit));
        LengthUnit::ALL.iter().for_each(|unit| assert_eq!(read::<LengthUnit>(unit.name()), *unit));
        StressUnit::ALL.iter().for_each(|unit| assert_eq!(read::<StressUnit>(unit.name()), *unit));
    }
}
