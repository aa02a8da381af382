//! The conformations of one molecule in an archive, as rMD17 and sGDML have them:
//!
//! | of | rMD17 | sGDML | shape |
//! |---|---|---|---|
//! | atoms | `nuclear_charges` | `z` | `[N]` |
//! | positions | `coords` | `R` | `[M, N, 3]` |
//! | energies | `energies` | `E` | `[M]` or `[M, 1]`, may be missing |
//! | forces | `forces` | `F` | `[M, N, 3]`, may be missing |
//!
//! Units are kcal/mol and angstrom. sGDML may name others in the texts `e_unit` and `r_unit`, which it only passes on;
//! here they are converted from, and a unit that is not known is an error. The texts `name` and `theory` become keys of
//! each frame. What rMD17 has of the older MD17 (`old_indices`, `old_energies`, `old_forces`), and what sGDML has of
//! statistics, is not read.
//!
//! sGDML's `lattice` is periodic in all directions. Its scripts write the lattice vectors as rows and its descriptors
//! take them for columns, so that a lattice is read where both mean the same.

use std::io::{self, Read, Seek};

use isograd_structure::{Element, EnergyUnit, LengthUnit};

use super::archive::Archive;
use super::array::Array;
use crate::formats::{Frame, Frames, elements_of};
use crate::{Error, Result};

/// Names of the arrays.
struct Layout {
    name: &'static str,
    atoms: &'static str,
    positions: &'static str,
    energies: &'static str,
    forces: &'static str,
}

static LAYOUTS: [Layout; 2] = [
    Layout { name: "rMD17", atoms: "nuclear_charges", positions: "coords", energies: "energies", forces: "forces" },
    Layout { name: "sGDML", atoms: "z", positions: "R", energies: "E", forces: "F" },
];

impl Layout {
    fn expected(&self) -> String {
        let Self { name, atoms, positions, energies, forces } = self;
        format!("{atoms} [N], {positions} [M, N, 3], {energies} [M], {forces} [M, N, 3] ({name})")
    }
}

/// Texts that become keys of each frame.
const TEXTS: [&str; 2] = ["name", "theory"];

/// Arrays of a cell that neither layout has. One that is passed over would make a molecule of a crystal.
const CELLS: [&str; 6] = ["cell", "cells", "box", "Lattice", "lattice_vectors", "pbc"];

/// The most atoms of a molecule; above, the count is taken for a damaged file.
const MOST_ATOMS: usize = 1 << 22;

/// The most arrays that an error lists.
const MOST_LISTED: usize = 20;

/// Streams the conformations in an archive that `open` opens, as often as it is called; `name` stands for it in errors.
///
/// # Errors
/// [`Error::Path`] where the archive is damaged, or has other arrays. An item of the iterator is an error where a
/// conformation cannot be read, and after the last of them, where an array has not its checksum.
pub fn read_archive<R>(open: impl Fn() -> io::Result<R>, name: &str) -> Result<Frames<'static>>
where
    R: Read + Seek + Send + 'static,
{
    let path = |message| Error::Path { path: name.into(), message };
    let archive = Archive::new(open).map_err(path)?;
    Ok(Box::new(Conformations::new(&archive, name).map_err(path)?))
}

/// An archive that is read frame by frame.
struct Conformations {
    file: String,
    elements: Vec<Element>,
    cell: Option<[[f64; 3]; 3]>,
    texts: Vec<(&'static str, String)>,
    units: Units,
    positions: Named,
    energies: Option<Named>,
    forces: Option<Named>,
    count: usize,
    index: usize,
    done: bool,
}

/// An array, and its name in errors.
struct Named {
    name: &'static str,
    array: Array,
}

/// Factors to eV and angstrom, and what is said of them.
struct Units {
    energy: f64,
    length: f64,
    said: &'static str,
}

impl Conformations {
    fn new(archive: &Archive<'_>, file: &str) -> Result<Self, String> {
        let layout = layout(archive)?;
        let elements = elements(archive, layout.atoms)?;
        let atoms = elements.len();
        let Some(positions) = Named::find(archive, layout.positions)? else { return Err(layout.expected()) };
        let &[count, of_atoms, 3] = positions.array.shape() else { return Err(positions.unlike("[M, N, 3]")) };
        if of_atoms != atoms {
            return Err(positions.unlike(&format!("[M, {atoms}, 3], as `{}` has {atoms} atoms", layout.atoms)));
        }
        let energies = Named::find(archive, layout.energies)?;
        if let Some(energies) = &energies
            && energies.array.shape() != [count]
            && energies.array.shape() != [count, 1]
        {
            return Err(energies.unlike(&format!("[{count}] or [{count}, 1]")));
        }
        let forces = Named::find(archive, layout.forces)?;
        if let Some(forces) = &forces
            && forces.array.shape() != positions.array.shape()
        {
            return Err(forces.unlike(&format!("{:?}", positions.array.shape())));
        }
        let texts = TEXTS.iter().filter_map(|&name| Some(text(archive, name).transpose()?.map(|text| (name, text))));
        Ok(Self {
            file: file.to_owned(),
            cell: lattice(archive)?,
            texts: texts.collect::<Result<_, _>>()?,
            units: units(archive)?,
            elements,
            positions,
            energies,
            forces,
            count,
            index: 0,
            done: false,
        })
    }

    fn frame(&mut self) -> Result<Frame, String> {
        let Units { energy, length, said } = self.units;
        let numbers = 3 * self.elements.len();
        let mut frame = Frame::of_atoms(&self.elements, &self.positions.vectors(numbers, length)?);
        frame.index = self.index;
        frame.converted_from = Some(said);
        if let Some(cell) = &self.cell {
            frame = frame.with_cell(&cell.map(|row| row.map(|v| v * length)), [true; 3]);
        }
        if let Some(energies) = &mut self.energies {
            frame = frame.with("energy", energies.take(1)?[0] * energy);
        }
        if let Some(forces) = &mut self.forces {
            frame = frame.with_vectors("forces", &forces.vectors(numbers, energy / length)?);
        }
        Ok(self.texts.iter().fold(frame, |frame, (key, text)| frame.with(key, text.as_str())))
    }

    /// Looks at what comes behind the last frame.
    fn finish(&mut self) -> Result<(), String> {
        let others = self.energies.iter_mut().chain(&mut self.forces);
        std::iter::once(&mut self.positions).chain(others).try_for_each(Named::finish)
    }
}

impl Iterator for Conformations {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if self.index == self.count {
            self.done = true;
            let path = self.file.clone().into();
            return self.finish().err().map(|message| Err(Error::Path { path, message }));
        }
        let frame = self.frame().map_err(Error::frame(&self.file, 0, self.index));
        self.done = frame.is_err();
        self.index += 1;
        Some(frame)
    }
}

impl Named {
    fn find(archive: &Archive<'_>, name: &'static str) -> Result<Option<Self>, String> {
        Ok(archive.array(name)?.map(|array| Self { name, array }))
    }

    fn unlike(&self, expected: &str) -> String {
        format!("`{}` has the shape {:?}, expected {expected}", self.name, self.array.shape())
    }

    fn take(&mut self, count: usize) -> Result<Vec<f64>, String> {
        self.array.reals(count).map_err(|error| format!("`{}` {error}", self.name))
    }

    fn vectors(&mut self, count: usize, factor: f64) -> Result<Vec<[f64; 3]>, String> {
        Ok(self.take(count)?.as_chunks::<3>().0.iter().map(|row| row.map(|v| v * factor)).collect())
    }

    fn finish(&mut self) -> Result<(), String> {
        self.array.finish().map_err(|error| format!("`{}` {error}", self.name))
    }

    /// A small array as a whole.
    fn all<T>(&mut self, count: usize, of: fn(&mut Array, usize) -> Result<T, String>) -> Result<T, String> {
        let all = of(&mut self.array, count).map_err(|error| format!("`{}` {error}", self.name))?;
        self.finish()?;
        Ok(all)
    }
}

/// The layout of which the archive has atoms and positions.
fn layout(archive: &Archive<'_>) -> Result<&'static Layout, String> {
    let has = |name: &str| archive.names().any(|own| own == name);
    let layout = LAYOUTS.iter().find(|layout| has(layout.atoms) && has(layout.positions));
    let layout = layout.ok_or_else(|| {
        let expected = LAYOUTS.each_ref().map(Layout::expected).join(" or ");
        format!("holds the arrays {}; expected {expected}", list(archive))
    })?;
    match CELLS.iter().find(|name| has(name)) {
        None => Ok(layout),
        Some(cell) => Err(format!("holds `{cell}` beside the arrays of {}, which knows no such cell", layout.name)),
    }
}

/// The atoms, of which there is at least one: of none, any number of frames would fit into no bytes.
fn elements(archive: &Archive<'_>, name: &'static str) -> Result<Vec<Element>, String> {
    let Some(mut atoms) = Named::find(archive, name)? else { return Err(format!("has no `{name}`")) };
    let &[count] = atoms.array.shape() else { return Err(atoms.unlike("[N] for N atoms")) };
    if !(1..=MOST_ATOMS).contains(&count) {
        return Err(atoms.unlike(&format!("1 to {MOST_ATOMS} atoms")));
    }
    elements_of(atoms.all(count, Array::integers)?).map_err(|error| format!("`{name}`: {error}"))
}

/// The arrays and their shapes.
fn list(archive: &Archive<'_>) -> String {
    let shape = |name: &str| match archive.array(name) {
        Ok(Some(array)) => format!("{name} {:?}", array.shape()),
        _ => format!("{name} (unreadable)"),
    };
    let mut listed: Vec<String> = archive.names().take(MOST_LISTED).map(shape).collect();
    let others = archive.names().count() - listed.len();
    if others > 0 {
        listed.push(format!("{others} others"));
    }
    listed.join(", ")
}

fn text(archive: &Archive<'_>, name: &'static str) -> Result<Option<String>, String> {
    let array = Named::find(archive, name)?;
    array.map(|mut array| array.all(1, |array, _| array.text())).transpose()
}

fn units(archive: &Archive<'_>) -> Result<Units, String> {
    let (energy, length) = (text(archive, "e_unit")?, text(archive, "r_unit")?);
    let said = if energy.is_none() && length.is_none() { "kcal/mol and angstrom" } else { "the units that they name" };
    let energy = energy.as_deref().map_or(Ok(EnergyUnit::KilocaloriePerMole), |unit| {
        Ok(match unit.to_lowercase().as_str() {
            "kcal/mol" => EnergyUnit::KilocaloriePerMole,
            "kj/mol" => EnergyUnit::KilojoulePerMole,
            "ev" => EnergyUnit::ElectronVolt,
            "mev" => EnergyUnit::MilliElectronVolt,
            "ha" | "hartree" | "au" | "a.u." => EnergyUnit::Hartree,
            _ => return Err(format!("`e_unit` is `{unit}`, expected kcal/mol, kJ/mol, eV, meV or Hartree")),
        })
    })?;
    let length = length.as_deref().map_or(Ok(LengthUnit::Angstrom), |unit| {
        Ok(match unit.to_lowercase().as_str() {
            "ang" | "angstrom" | "a" | "å" | "\u{212b}" => LengthUnit::Angstrom,
            "bohr" | "au" | "a.u." => LengthUnit::Bohr,
            "nm" => LengthUnit::Nanometre,
            _ => return Err(format!("`r_unit` is `{unit}`, expected Ang, bohr or nm")),
        })
    })?;
    Ok(Units { energy: energy.in_ev(), length: length.in_angstrom(), said })
}

/// The lattice, in the archive's own unit.
fn lattice(archive: &Archive<'_>) -> Result<Option<[[f64; 3]; 3]>, String> {
    let Some(mut lattice) = Named::find(archive, "lattice")? else { return Ok(None) };
    if lattice.array.shape() != [3, 3] {
        return Err(lattice.unlike("[3, 3]"));
    }
    let nine = lattice.all(9, Array::reals)?;
    let rows: [[f64; 3]; 3] = std::array::from_fn(|row| std::array::from_fn(|column| nine[3 * row + column]));
    if (0..3).any(|k| rows[k][(k + 1) % 3] != rows[(k + 1) % 3][k]) {
        let message = "`lattice` may have its vectors in rows or in columns, which sGDML does both";
        return Err(format!("{message}: only one that is the same either way can be read"));
    }
    Ok(Some(rows))
}
