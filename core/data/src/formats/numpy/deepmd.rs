//! A system as DeePMD-kit reads it: a folder of these files, in angstrom and eV.
//!
//! | file | what | shape |
//! |---|---|---|
//! | `type.raw` | the type of each atom, from 0 | N numbers |
//! | `type_map.raw` | the name of each type, here the symbol of an element | words |
//! | `nopbc` | there if the system is not periodic | |
//! | `set.*/coord.npy` | positions | `[M, 3 N]` |
//! | `set.*/box.npy` | lattice vectors, one after the other | `[M, 9]` |
//! | `set.*/energy.npy` | energies | `[M]` |
//! | `set.*/force.npy` | forces | `[M, 3 N]` |
//! | `set.*/virial.npy` | virials | `[M, 9]` |
//! | `set.*/atom_ener.npy` | energies of atoms | `[M, N]` |
//! | `set.*/real_atom_types.npy` | types of this frame's atoms, in place of `type.raw`; -1 is no atom | `[M, N]` |
//!
//! Sets are read in the order of their names. As in DeePMD-kit, the numbers of an array count and not its axes, so that
//! `[M, N, 3]` is as good, and any array but the positions may be missing. Other arrays of a set are not read.
//!
//! A virial is minus the derivative of the energy with respect to strain, so that the stress, tension positive, is
//! minus the virial over the volume: so does DeePMD-kit's own calculator for ASE. Without a cell there is no stress,
//! and then virials are not read. The folder's name becomes the key `system` of its frames.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use isograd_structure::{Cell, Element};

use super::array::Array;
use crate::formats::{Data, Frame, Frames};
use crate::{Error, Result};

/// The file that makes a folder a system.
pub(super) const TYPES: &str = "type.raw";
const NAMES: &str = "type_map.raw";
const NOT_PERIODIC: &str = "nopbc";
const MIXED: &str = "real_atom_types.npy";

/// Streams the frames of a system.
pub(super) fn read_system(folder: &Path) -> Result<Frames<'static>> {
    Ok(Box::new(System::open(folder)?))
}

/// A system whose sets are read one after the other.
struct System {
    folder: PathBuf,
    /// Types of the atoms; of mixed types, only their number counts.
    types: Vec<i64>,
    names: Vec<String>,
    periodic: bool,
    mixed: bool,
    /// The last one comes first.
    sets: Vec<PathBuf>,
    set: Option<Set>,
    index: usize,
    done: bool,
}

impl System {
    fn open(folder: &Path) -> Result<Self> {
        let types = read_types(&folder.join(TYPES))?;
        let names = fs::read_to_string(folder.join(NAMES)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let cure = format!("write {NAMES} with the symbol of each type of {TYPES}");
                wrong(folder, format!("has no {NAMES}, without which nobody knows the elements: {cure}"))
            }
            _ => Error::io(folder.join(NAMES), "read")(error),
        })?;
        let mut sets = sets(folder)?;
        let is_mixed = |set: &PathBuf| set.join(MIXED).is_file();
        let Some(first) = sets.first() else {
            let cure = "expected set.000 and so on, which DeePMD-kit's raw_to_set.sh makes of files .raw";
            return Err(wrong(folder, format!("has {TYPES} and no folder set.*: {cure}")));
        };
        let mixed = is_mixed(first);
        if let Some(other) = sets.iter().find(|set| is_mixed(set) != mixed) {
            let both = format!("{} and {}", first.display(), other.display());
            return Err(wrong(folder, format!("has {MIXED} in one of {both}, expected it in all sets or in none")));
        }
        sets.reverse();
        Ok(Self {
            names: names.split_whitespace().map(str::to_owned).collect(),
            periodic: !folder.join(NOT_PERIODIC).exists(),
            folder: folder.to_owned(),
            set: None,
            index: 0,
            done: false,
            types,
            mixed,
            sets,
        })
    }

    /// The next frame, if there is one.
    fn advance(&mut self) -> Result<Option<Frame>> {
        loop {
            let mut set = match self.set.take() {
                Some(set) => set,
                None => match self.sets.pop() {
                    Some(folder) => Set::open(&folder, self)?,
                    None => return Ok(None),
                },
            };
            if set.row < set.rows {
                let place = format!("row {} of {}: ", set.row, set.folder.display());
                let fail = Error::frame(self.folder.display().to_string(), 0, self.index);
                let frame = self.frame(&mut set).map_err(|message| fail(place + &message))?;
                self.set = Some(set);
                self.index += 1;
                return Ok(Some(frame));
            }
            set.arrays().try_for_each(Named::finish)?;
        }
    }

    fn frame(&self, set: &mut Set) -> Result<Frame, String> {
        let atoms = self.types.len();
        let types = match &mut set.types {
            None => self.types.clone(),
            Some(types) => types.integers(atoms)?,
        };
        // Of padding, the type is -1; without mixed types that is an error below.
        let real: Vec<bool> = types.iter().map(|&number| !(self.mixed && number == -1)).collect();
        let elements = types.into_iter().zip(&real).filter(|&(_, &real)| real).map(|(number, _)| self.element(number));
        let elements: Vec<Element> = elements.collect::<Result<_, _>>()?;
        let mut frame = Frame::of_atoms(&elements, &vectors(&set.positions.reals(3 * atoms)?, &real));
        frame.index = self.index;
        frame.converted_from = Some("eV and angstrom");
        if let Some(name) = self.folder.file_name() {
            frame = frame.with("system", name.to_string_lossy().as_ref());
        }
        let cell = set.cells.as_mut().map(|cells| Ok::<_, String>(Cell(square(&cells.reals(9)?)))).transpose()?;
        if let Some(cell) = &cell {
            frame = frame.with_cell(&cell.0, [true; 3]);
        }
        if let Some(energies) = &mut set.energies {
            frame = frame.with("energy", energies.reals(1)?[0]);
        }
        if let Some(forces) = &mut set.forces {
            frame = frame.with_vectors("forces", &vectors(&forces.reals(3 * atoms)?, &real));
        }
        if let (Some(virials), Some(cell)) = (&mut set.virials, &cell) {
            let volume = cell.volume();
            if !(volume.is_finite() && volume > 0.0) {
                return Err("virial.npy needs a box with a volume".into());
            }
            let stress: Vec<f64> = virials.reals(9)?.into_iter().map(|virial| -virial / volume).collect();
            frame = frame.with("stress", &stress[..]);
        }
        if let Some(energies) = &mut set.atom_energies {
            let energies = energies.reals(atoms)?.into_iter().zip(&real).filter(|&(_, &real)| real);
            frame = frame.with_column("atom_ener", Data::Real(energies.map(|(energy, _)| energy).collect()));
        }
        set.row += 1;
        Ok(frame)
    }

    fn element(&self, number: i64) -> Result<Element, String> {
        let name = usize::try_from(number).ok().and_then(|number| self.names.get(number));
        let count = self.names.len();
        let name = name.ok_or_else(|| format!("an atom has the type {number}, of {count} types in {NAMES}"))?;
        name.parse().map_err(|_| format!("the type {number} is `{name}` in {NAMES}, expected the symbol of an element"))
    }
}

impl Iterator for System {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.advance();
        self.done = !matches!(frame, Ok(Some(_)));
        frame.transpose()
    }
}

fn wrong(path: &Path, message: String) -> Error {
    Error::Path { path: path.to_owned(), message }
}

/// The type of each atom, of which there is at least one: of none, any number of frames would fit into no bytes.
fn read_types(path: &Path) -> Result<Vec<i64>> {
    let text = fs::read_to_string(path).map_err(Error::io(path, "read"))?;
    let number = |word: &str| word.parse().map_err(|_| wrong(path, format!("`{word}` is not the number of a type")));
    let types: Vec<i64> = text.split_whitespace().map(number).collect::<Result<_>>()?;
    if types.is_empty() {
        return Err(wrong(path, "has no atoms, expected the number of a type for each".into()));
    }
    Ok(types)
}

/// The folders `set.*` in the order of their names.
fn sets(folder: &Path) -> Result<Vec<PathBuf>> {
    let fail = || Error::io(folder, "list");
    let entries = fs::read_dir(folder).map_err(fail())?.map(|entry| entry.map(|entry| entry.path()).map_err(fail()));
    let is_set = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("set.")) && path.is_dir()
    };
    let mut sets: Vec<PathBuf> = entries.filter(|path| path.as_ref().map_or(true, is_set)).collect::<Result<_>>()?;
    sets.sort();
    Ok(sets)
}

/// The arrays of a set, of which all but the positions may be missing.
struct Set {
    folder: PathBuf,
    positions: Named,
    cells: Option<Named>,
    energies: Option<Named>,
    forces: Option<Named>,
    virials: Option<Named>,
    atom_energies: Option<Named>,
    types: Option<Named>,
    rows: usize,
    row: usize,
}

impl Set {
    fn open(folder: &Path, system: &System) -> Result<Self> {
        let atoms = system.types.len();
        let positions = Named::open(folder, "coord.npy")?;
        // One frame may have been saved without an axis of frames.
        let rows = match *positions.array.shape() {
            [] | [_] => 1,
            [rows, ..] => rows,
        };
        let positions = positions.of(rows, 3 * atoms)?;
        let optional = |name: &'static str, width: usize| {
            let there = folder.join(name).exists();
            there.then(|| Named::open(folder, name)?.of(rows, width)).transpose()
        };
        let cells = if system.periodic { optional("box.npy", 9)? } else { None };
        if system.periodic && cells.is_none() {
            let message =
                format!("has no box.npy; expected one, or a file {NOT_PERIODIC} beside {TYPES} if there is no cell");
            return Err(wrong(folder, message));
        }
        Ok(Self {
            energies: optional("energy.npy", 1)?,
            forces: optional("force.npy", 3 * atoms)?,
            virials: if system.periodic { optional("virial.npy", 9)? } else { None },
            atom_energies: optional("atom_ener.npy", atoms)?,
            types: optional(MIXED, atoms)?,
            folder: folder.into(),
            row: 0,
            positions,
            cells,
            rows,
        })
    }

    fn arrays(&mut self) -> impl Iterator<Item = &mut Named> {
        let labels = [&mut self.energies, &mut self.forces, &mut self.virials, &mut self.atom_energies];
        let others = [&mut self.cells, &mut self.types].into_iter().chain(labels);
        std::iter::once(&mut self.positions).chain(others.flatten())
    }
}

/// An array, and its name in errors.
struct Named {
    path: PathBuf,
    name: &'static str,
    array: Array,
}

impl Named {
    fn open(folder: &Path, name: &'static str) -> Result<Self> {
        let path = folder.join(name);
        let fail = || Error::io(&path, "read");
        let file = File::open(&path).map_err(fail())?;
        let length = file.metadata().map_err(fail())?.len();
        let array = Array::open(Box::new(BufReader::with_capacity(1 << 16, file)), length);
        let array = array.map_err(|message| wrong(&path, message))?;
        Ok(Self { path, name, array })
    }

    /// The same, if it has so many rows of so many numbers.
    fn of(self, rows: usize, width: usize) -> Result<Self> {
        if self.array.items().is_some_and(|items| Some(items) == rows.checked_mul(width)) {
            return Ok(self);
        }
        let (shape, expected) = (self.array.shape(), format!("{rows} frames of {width} numbers each"));
        let message = format!("has the shape {shape:?}, expected {expected}: are all sets of the atoms in {TYPES}?");
        Err(wrong(&self.path, message))
    }

    fn reals(&mut self, count: usize) -> Result<Vec<f64>, String> {
        self.array.reals(count).map_err(|error| format!("{} {error}", self.name))
    }

    fn integers(&mut self, count: usize) -> Result<Vec<i64>, String> {
        self.array.integers(count).map_err(|error| format!("{} {error}", self.name))
    }

    fn finish(&mut self) -> Result<()> {
        self.array.finish().map_err(|message| wrong(&self.path, message))
    }
}

/// Three numbers for each atom that is one.
fn vectors(numbers: &[f64], real: &[bool]) -> Vec<[f64; 3]> {
    numbers.as_chunks::<3>().0.iter().zip(real).filter(|&(_, &real)| real).map(|(&vector, _)| vector).collect()
}

fn square(nine: &[f64]) -> [[f64; 3]; 3] {
    std::array::from_fn(|row| std::array::from_fn(|column| nine[3 * row + column]))
}
