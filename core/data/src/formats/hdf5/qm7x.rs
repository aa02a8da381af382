//! QM7-X: `/<molecule>/<conformation>` holds one structure, in angstrom and eV, with `atNUM [Na]`, `atXYZ [Na, 3]` and some
//! forty properties. The molecule's id stands under `molecule` (keep it together in the split: conformations of a
//! molecule are much alike), the conformation under `name`.
//!
//! Traps:
//! - There are two levels of theory, and an energy belongs to the forces of its own: `ePBE0+MBD` to `totFOR`, which are
//!   `energy` and `forces`, and `ePBE0` to `pbe0FOR`, which keep their names. Where one is missing, the other level does not
//!   stand in for it. Who trains on `ePBE0` has to name both.
//! - `vdwR` is a length in bohr, and is converted. Other quantities beyond eV and angstrom stay as they are: polarizabilities
//!   and volumes in cubic bohr, Hirshfeld dipoles in electrons times bohr, `C6` in Hartree times bohr^6.
//! - Some molecules stand in the set twice; a list of them, `DupMols.dat`, is published along with it.

use std::vec::IntoIter;

use isograd_structure::LengthUnit;

use super::conformers::{Conformers, Extent, Label};
use super::file::{File, Group};
use super::layout::{Layout, Part};
use crate::formats::Frame;

/// Of the atoms: Hirshfeld volumes, ratios, charges, dipoles and their vectors, C6 coefficients, polarizabilities.
const OF_ATOMS: [&str; 7] = ["hVOL", "hRAT", "hCHG", "hDIP", "hVDIP", "atC6", "atPOL"];

/// Of the whole: energies and their parts, eigenvalues, gap, dipole, quadrupoles, C6 coefficient, polarizability, moments of
/// inertia, distance from the optimized structure.
const OF_ALL: [&str; 28] = [
    "ePBE0",
    "eDFTB+MBD",
    "eAT",
    "eMBD",
    "eTS",
    "eNN",
    "eKIN",
    "eNE",
    "eEE",
    "eXC",
    "eX",
    "eC",
    "eXX",
    "eKSE",
    "KSE",
    "eH",
    "eL",
    "HLgap",
    "DIP",
    "vDIP",
    "vTQ",
    "vIQ",
    "vEQ",
    "mC6",
    "mPOL",
    "mTPOL",
    "sMIT",
    "sRMSD",
];

/// QM7-X.
pub(super) struct Qm7x;

impl Layout for Qm7x {
    fn name(&self) -> &'static str {
        "QM7-X"
    }

    fn form(&self) -> &'static str {
        "`/<molecule>/<conformation>` {atNUM, atXYZ, ePBE0+MBD, totFOR, ..}"
    }

    fn recognises(&self, file: &mut File, group: &Group) -> Result<bool, String> {
        let Some(first) = group.groups.first() else { return Ok(false) };
        let conformation = file.group(&format!("{}/{first}", group.path))?;
        Ok(conformation.has("atNUM") && conformation.has("atXYZ"))
    }

    fn open(&self, group: Group) -> Result<Box<dyn Part>, String> {
        Ok(Box::new(Molecule {
            name: group.name().to_owned(),
            path: group.path,
            conformations: group.groups.into_iter(),
        }))
    }
}

/// The conformations of a molecule, each of which is a group.
struct Molecule {
    name: String,
    path: String,
    /// Those that are still to be read.
    conformations: IntoIter<String>,
}

impl Part for Molecule {
    fn read(&mut self, file: &mut File) -> Result<Vec<Option<Frame>>, String> {
        let Some(name) = self.conformations.next() else { return Ok(Vec::new()) };
        let mut group = file.group(&format!("{}/{name}", self.path))?;
        let (numbers, positions) = (group.take("atNUM")?, group.take("atXYZ")?);
        let conformation = Conformers::single(numbers, positions, LengthUnit::Angstrom, "eV and angstrom")?;
        let mut conformation = conformation.with_text("molecule", &self.name).with_text("name", name);
        for (name, set) in group.sets {
            if let Some(label) = label(&name) {
                conformation = conformation.with_label(label, set)?;
            }
        }
        conformation.read(file)
    }
}

/// What a data set is, by its name.
fn label(name: &str) -> Option<Label> {
    Some(match name {
        "ePBE0+MBD" => Label::new("energy", Extent::One, 1.0),
        "totFOR" => Label::new("forces", Extent::Vectors, 1.0),
        "pbe0FOR" | "vdwFOR" => Label::new(name, Extent::Vectors, 1.0),
        "vdwR" => Label::new(name, Extent::OfAtoms, LengthUnit::Bohr.in_angstrom()),
        _ if OF_ATOMS.contains(&name) => Label::new(name, Extent::OfAtoms, 1.0),
        _ if OF_ALL.contains(&name) => Label::new(name, Extent::Many, 1.0),
        _ => return None,
    })
}
