//! ANI-1x, ANI-1ccx and ANI-2x: a group of the root holds conformers of equally many atoms, in angstrom and Hartree.
//!
//! - ANI-1x and 1ccx: a group for each formula, with `atomic_numbers [Na]`, `coordinates [Nc, Na, 3]`, and labels named
//!   after method, basis set and property, as in `wb97x_dz.energy [Nc]` and `wb97x_dz.forces [Nc, Na, 3]`. These two are
//!   `energy` and `forces`; others, as `ccsd(t)_cbs.energy`, keep their names. The formula stands under `formula`.
//! - ANI-2x: a group for each number of atoms, with `species [Nc, Na]`, `coordinates`, `energies` and `forces`.
//!
//! Traps:
//! - Not all was computed for all conformers. **What was not is NaN**, for each property by itself: a conformer has the
//!   labels that it was given, and one that has none is left out (and counted: frames after it keep their numbers).
//! - Isomers share a formula, so `formula` keeps more together than a molecule.
//! - Energies are of the whole, those named `corr_energy` are the part of correlation only.
//! - Dipoles are in electrons times angstrom, charges in electrons; MBIS multipoles and volumes are in atomic units.

use isograd_structure::{EnergyUnit, LengthUnit};

use super::conformers::{Conformers, Extent, Label};
use super::file::{File, Group};
use super::layout::{Layout, Part};

/// ANI-1x and ANI-2x.
pub(super) struct Ani;

impl Layout for Ani {
    fn name(&self) -> &'static str {
        "ANI"
    }

    fn form(&self) -> &'static str {
        "`/<formula>` {atomic_numbers, coordinates, wb97x_dz.energy, ..} or `/<atoms>` {species, coordinates, energies, ..}"
    }

    fn recognises(&self, _: &mut File, group: &Group) -> Result<bool, String> {
        Ok(group.has("coordinates") && (group.has("atomic_numbers") || group.has("species")))
    }

    fn open(&self, mut group: Group) -> Result<Box<dyn Part>, String> {
        let of_two = group.has("species");
        let numbers = group.take(if of_two { "species" } else { "atomic_numbers" })?;
        let positions = group.take("coordinates")?;
        let conformers = Conformers::stacked(numbers, positions, LengthUnit::Angstrom, "Hartree and angstrom")?;
        let mut conformers = conformers.where_nan_is_missing();
        if !of_two {
            conformers = conformers.with_text("formula", group.name());
        }
        for (name, set) in group.sets {
            if let Some(label) = label(&name, of_two) {
                conformers = conformers.with_label(label, set)?;
            }
        }
        Ok(Box::new(conformers))
    }
}

/// What a data set is, by its name.
fn label(name: &str, of_two: bool) -> Option<Label> {
    let hartree = EnergyUnit::Hartree.in_ev();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    Some(match name {
        "wb97x_dz.energy" if !of_two => Label::new("energy", Extent::One, hartree),
        "wb97x_dz.forces" if !of_two => Label::new("forces", Extent::Vectors, hartree),
        "energies" if of_two => Label::new("energy", Extent::One, hartree),
        "forces" if of_two => Label::new("forces", Extent::Vectors, hartree),
        _ if ends(&[".energy", ".corr_energy"]) => Label::new(name, Extent::One, hartree),
        _ if ends(&[".forces"]) => Label::new(name, Extent::Vectors, hartree),
        _ if ends(&[".dipole", ".quadrupole"]) || name == "dipoles" => Label::new(name, Extent::Many, 1.0),
        _ if ends(&["charges", ".mbis_dipoles", ".mbis_quadrupoles", ".mbis_octupoles", ".mbis_volumes"]) => {
            Label::new(name, Extent::OfAtoms, 1.0)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_names() {
        assert_eq!(label("wb97x_dz.energy", false), label("energies", true));
        assert_eq!(label("wb97x_dz.forces", false), label("forces", true));
        let other = Label::new("wb97x_dz.energy", Extent::One, EnergyUnit::Hartree.in_ev());
        assert_eq!(label("wb97x_dz.energy", true), Some(other));
        assert_eq!((label("energies", false), label("forces", false)), (None, None));
    }
}
