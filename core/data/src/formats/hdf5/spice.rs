//! SPICE: a group for each molecule holds conformers of it, in bohr and Hartree, with `subset`, `smiles`,
//! `atomic_numbers [N]`, `conformations [M, N, 3]`, `dft_total_energy [M]`, `dft_total_gradient [M, N, 3]`,
//! `formation_energy [M]` and more. The group's name stands under `molecule`, subset and SMILES under their own names.
//!
//! Traps:
//! - `dft_total_gradient` is a **gradient**: `forces` are minus it. Other gradients keep their names and their sign.
//! - `energy` is `dft_total_energy`, the total one; `formation_energy` is the same less the energies of isolated atoms.
//! - Positions are in bohr. An attribute `units` says so of each data set, and a file that says otherwise is not read.
//! - Charged molecules are among them, and no data set has the charge: it is that of the SMILES.
//! - Bond orders, `[M, N, N]`, are not read. Multipoles are in electrons times bohr, bohr^2, bohr^3.

use isograd_structure::{EnergyUnit, LengthUnit};

use super::conformers::{Conformers, Extent, Label};
use super::file::{DataSet, File, Group};
use super::layout::{Layout, Part};

/// SPICE.
pub(super) struct Spice;

impl Layout for Spice {
    fn name(&self) -> &'static str {
        "SPICE"
    }

    fn form(&self) -> &'static str {
        "`/<molecule>` {atomic_numbers, conformations, dft_total_energy, dft_total_gradient, ..}"
    }

    fn recognises(&self, _: &mut File, group: &Group) -> Result<bool, String> {
        Ok(group.has("conformations") && group.has("atomic_numbers"))
    }

    fn open(&self, mut group: Group) -> Result<Box<dyn Part>, String> {
        let (numbers, positions) = (group.take("atomic_numbers")?, group.take("conformations")?);
        in_units(&positions, "bohr")?;
        let conformers = Conformers::stacked(numbers, positions, LengthUnit::Bohr, "Hartree and bohr")?;
        let mut conformers = conformers.with_text("molecule", group.name());
        for key in ["subset", "smiles"] {
            if let Some(set) = group.sets.remove(key) {
                conformers = conformers.with_text(key, set.text()?);
            }
        }
        for (name, set) in group.sets {
            if let Some((label, units)) = label(&name) {
                units.map_or(Ok(()), |units| in_units(&set, units))?;
                conformers = conformers.with_label(label, set)?;
            }
        }
        Ok(Box::new(conformers))
    }
}

/// What a data set is, by its name, and the units of those that are converted.
fn label(name: &str) -> Option<(Label, Option<&'static str>)> {
    let hartree = EnergyUnit::Hartree.in_ev();
    let gradient = hartree / LengthUnit::Bohr.in_angstrom();
    Some(match name {
        "dft_total_energy" => (Label::new("energy", Extent::One, hartree), Some("hartree")),
        "dft_total_gradient" => (Label::new("forces", Extent::Vectors, -gradient), Some("hartree/bohr")),
        _ if name.ends_with("_energy") => (Label::new(name, Extent::One, hartree), Some("hartree")),
        _ if name.ends_with("_gradient") => (Label::new(name, Extent::Vectors, gradient), Some("hartree/bohr")),
        "scf_dipole" | "scf_quadrupole" => (Label::new(name, Extent::Many, 1.0), None),
        "mbis_charges" | "mbis_dipoles" | "mbis_quadrupoles" | "mbis_octupoles" => {
            (Label::new(name, Extent::OfAtoms, 1.0), None)
        }
        _ => return None,
    })
}

/// Refuses a data set that says that it is in other units. One that says nothing is in those of the layout.
fn in_units(set: &DataSet, expected: &str) -> Result<(), String> {
    match set.attribute("units")? {
        Some(units) if !units.eq_ignore_ascii_case(expected) => {
            Err(set.error(format!("is in `{units}` by its attribute `units`, expected `{expected}`")))
        }
        _ => Ok(()),
    }
}
