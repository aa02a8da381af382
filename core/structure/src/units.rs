//! Units that a source may declare, and their factors to eV, angstrom and eV/angstrom^3.
//!
//! Factors are CODATA 2018: 1 Hartree = 27.211386245988 eV, 1 bohr = 0.529177210903 angstrom.

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
    /// How many eV one unit is.
    pub fn in_ev(self) -> f64 {
        match self {
            Self::ElectronVolt => 1.0,
            Self::MilliElectronVolt => 1e-3,
            Self::Hartree => HARTREE,
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
    /// How many angstrom one unit is.
    pub fn in_angstrom(self) -> f64 {
        match self {
            Self::Angstrom => 1.0,
            Self::Bohr => BOHR,
            Self::Nanometre => 10.0,
        }
    }
}

/// Unit of stresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StressUnit {
    /// eV/angstrom^3.
    #[default]
    #[serde(rename = "eV/angstrom^3", alias = "eV/A^3")]
    ElectronVoltPerCubicAngstrom,
    /// Kilobar.
    #[serde(rename = "kbar")]
    Kilobar,
    /// Gigapascal.
    #[serde(rename = "GPa")]
    Gigapascal,
}

impl StressUnit {
    /// How many eV/angstrom^3 one unit is.
    pub fn in_ev_per_cubic_angstrom(self) -> f64 {
        let pascal = JOULE_IN_EV * 1e-30;
        match self {
            Self::ElectronVoltPerCubicAngstrom => 1.0,
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
    /// Positions and cells. Default `angstrom`.
    pub length: LengthUnit,
    /// Stresses. Default `eV/angstrom^3`. A virial is in the energy unit.
    pub stress: StressUnit,
    /// Default `tension-positive`.
    pub stress_sign: StressSign,
    /// True where the file's forces are gradients, that is, have the other sign. Default `false`.
    pub forces_are_gradients: bool,
}

impl Units {
    /// Factor from the file's forces to eV/angstrom, with the sign.
    pub fn force_factor(&self) -> f64 {
        let sign = if self.forces_are_gradients { -1.0 } else { 1.0 };
        sign * self.energy.in_ev() / self.length.in_angstrom()
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
        let atomic = Units { energy: EnergyUnit::Hartree, length: LengthUnit::Bohr, ..Default::default() };
        assert_relative_eq!(atomic.force_factor(), 51.422_067, max_relative = 1e-7);
    }
}
