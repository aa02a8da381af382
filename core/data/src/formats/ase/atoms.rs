//! A frame from what ASE has: atoms, results of a calculator, constraints, notes.

use serde_json::{Map, Number, Value};

use super::array::{Array, shown};
use super::constraints;
use crate::formats::{Column, Data, Frame, Value as HeaderValue, elements_of};

/// The units of all files of ASE.
const UNITS: &str = "eV and angstrom";

/// Names that stand for the structure itself, in frames and in files of extended XYZ. No note has one of them.
const STRUCTURE: [&str; 10] =
    ["Lattice", "pbc", "Properties", "numbers", "pos", "positions", "species", "element", "symbols", "Z"];

/// The most keys of a frame up to which dictionaries are taken apart; one more with more in it is text.
const MOST_KEYS: usize = 4096;

/// The largest whole number up to which all are real numbers.
const EXACT: u64 = 1 << 53;

/// How many numbers each atom has of what ASE has for each atom.
fn of_each_atom(name: &str) -> Option<&'static [usize]> {
    match name {
        "charges" | "initial_charges" | "tags" | "energies" => Some(&[1]),
        "magmoms" | "initial_magmoms" => Some(&[1, 3]),
        "forces" => Some(&[3]),
        "stresses" => Some(&[6, 9]),
        "born_effective_charges" => Some(&[9]),
        _ => None,
    }
}

/// How many numbers there are of what ASE has for the whole.
fn of_the_whole(name: &str) -> Option<&'static [usize]> {
    match name {
        "energy" | "free_energy" => Some(&[1]),
        "magmom" => Some(&[1, 3]),
        "dipole" | "polarization" => Some(&[3]),
        "stress" => Some(&[6, 9]),
        "dielectric_tensor" => Some(&[9]),
        _ => None,
    }
}

/// Whether ASE has a meaning for the name: it is of the atoms, or a result of calculators.
pub(super) fn is_property(name: &str) -> bool {
    of_each_atom(name).or(of_the_whole(name)).is_some()
}

/// Atoms, to which whatever else a file has of them is added.
pub(super) struct Atoms {
    frame: Frame,
}

impl Atoms {
    /// Atoms with these atomic numbers at these positions.
    ///
    /// # Errors
    /// A sentence about numbers that no elements have, and about positions that are not three for each atom.
    pub(super) fn new(numbers: Array, positions: Array) -> Result<Self, String> {
        let size = numbers.size();
        let numbers = numbers.into_integers().ok_or_else(|| format!("`numbers` {size} are not whole"))?;
        let elements = elements_of(numbers).map_err(|message| format!("`numbers`: {message}"))?;
        let atoms = elements.len();
        if !is_for_each(&positions, atoms, 3) {
            return Err(format!("`positions` are of size {}, expected 3 for each of {atoms} atoms", positions.size()));
        }
        let positions = positions.into_reals();
        let frame = Frame::of_atoms(&elements, positions.as_chunks::<3>().0);
        Ok(Self { frame: Frame { converted_from: Some(UNITS), ..frame } })
    }

    /// The number of atoms.
    pub(super) fn len(&self) -> usize {
        self.frame.atoms
    }

    /// Puts them in a cell, if any of its vectors is not zero.
    ///
    /// # Errors
    /// A sentence about what is no cell, and about directions that repeat without one.
    pub(super) fn put_in_cell(&mut self, cell: Option<Array>, periodic: [bool; 3]) -> Result<(), String> {
        let cell = match cell {
            Some(cell) if cell.len() == 9 => cell.into_reals(),
            Some(cell) => return Err(format!("`cell` is of size {}, expected [3, 3]", cell.size())),
            None => Vec::new(),
        };
        if cell.iter().all(|&number| number == 0.0) {
            let none = "`pbc` is true in some direction, but there is no `cell`";
            return if periodic.contains(&true) { Err(none.into()) } else { Ok(()) };
        }
        let vectors = std::array::from_fn(|row| std::array::from_fn(|column| cell[3 * row + column]));
        self.frame = std::mem::take(&mut self.frame).with_cell(&vectors, periodic);
        Ok(())
    }

    /// Adds what the atoms have, or a calculator said of them; nothing if all of it is missing. What has no meaning in
    /// ASE becomes a note.
    ///
    /// # Errors
    /// A sentence about an array that is not as large as it should be.
    pub(super) fn property(&mut self, name: &str, array: Array) -> Result<(), String> {
        let atoms = self.len();
        let wrong = |array: &Array, expected: &[usize], of: &str| {
            let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
            Err(format!("`{name}` is of size {}, expected {} numbers{of}", array.size(), expected.join(" or ")))
        };
        if array.is_missing() {
            return Ok(());
        }
        match (of_each_atom(name), of_the_whole(name)) {
            (Some(widths), _) => match widths.iter().find(|&&width| is_for_each(&array, atoms, width)) {
                Some(&width) => self.column(name, width, array),
                None => wrong(&array, widths, &format!(" for each of {atoms} atoms")),
            },
            (None, Some(counts)) if !counts.contains(&array.len()) => wrong(&array, counts, ""),
            (None, Some(_)) => {
                let numbers = array.into_reals();
                let numbers = if name == "stress" { square(&numbers) } else { numbers };
                self.frame.header.set(name, &numbers[..]);
                Ok(())
            }
            (None, None) => {
                self.array_note("calculator", name, array);
                Ok(())
            }
        }
    }

    fn column(&mut self, name: &str, width: usize, array: Array) -> Result<(), String> {
        let data = if name == "tags" {
            Data::Integer(array.into_integers().ok_or("`tags` are not whole numbers")?)
        } else {
            Data::Real(array.into_reals())
        };
        self.frame.columns.retain(|column| column.name != name);
        self.frame.columns.push(Column { name: name.to_owned(), width, data });
        Ok(())
    }

    /// Adds which atoms are free, and the names of constraints of which nothing else is known.
    ///
    /// # Errors
    /// A sentence about what is no constraint.
    pub(super) fn constrain(&mut self, list: &Value) -> Result<(), String> {
        let constraints = constraints::read(list, self.len())?;
        if let Some(free) = constraints.free {
            self.frame.columns.push(Column { name: "move_mask".into(), width: 1, data: Data::Logical(free) });
        }
        if !constraints.others.is_empty() {
            let names: Vec<String> = constraints.others.into_iter().collect();
            self.frame.header.set("other_constraints", names.join(" "));
        }
        Ok(())
    }

    /// Adds the notes of a dictionary, or of none. `origin` stands before names that are taken; arrays may lie in
    /// `bytes`.
    ///
    /// # Errors
    /// A sentence about what is no dictionary, and about arrays that do not have the size that they claim.
    pub(super) fn notes(&mut self, origin: &str, notes: &Value, bytes: &[u8]) -> Result<(), String> {
        match notes {
            Value::Null => Ok(()),
            Value::Object(notes) => notes.iter().try_for_each(|(name, note)| self.note(origin, name, note, bytes)),
            other => Err(format!("`{origin}` is `{}`, expected a dictionary", shown(other))),
        }
    }

    /// Adds a note: text, a number, an array, or a dictionary of them, whose names follow its own after a dot.
    ///
    /// # Errors
    /// As [`Atoms::notes`].
    pub(super) fn note(&mut self, origin: &str, name: &str, note: &Value, bytes: &[u8]) -> Result<(), String> {
        let value = match note {
            Value::Null => return Ok(()),
            Value::String(text) => HeaderValue::Text(text.clone()),
            Value::Number(number) => exact(number),
            note => match Array::of_json(note, bytes).map_err(|message| format!("`{origin}.{name}`: {message}"))? {
                Some(array) => {
                    self.array_note(origin, name, array);
                    return Ok(());
                }
                None => match dictionary(note) {
                    Some(inner) if self.frame.header.iter().count() + inner.len() <= MOST_KEYS => {
                        let add = |(key, note): (&String, _)| self.note(origin, &format!("{name}.{key}"), note, bytes);
                        return inner.iter().try_for_each(add);
                    }
                    _ => text_of(note),
                },
            },
        };
        self.set(origin, name, value);
        Ok(())
    }

    /// Adds an array as a key, and as a column where it has a row for each atom.
    pub(super) fn array_note(&mut self, origin: &str, name: &str, array: Array) {
        if array.len() == 0 || array.is_missing() {
            return;
        }
        let atoms = self.len();
        if array.rows() == Some(atoms) {
            let taken = STRUCTURE.contains(&name) || self.frame.column(name).is_some();
            let name = if taken { format!("{origin}.{name}") } else { name.to_owned() };
            let width = array.len() / atoms;
            self.frame.columns.push(Column { name, width, data: array.clone().into_cells() });
        }
        self.set(origin, name, HeaderValue::Numbers(array.into_reals()));
    }

    fn set(&mut self, origin: &str, name: &str, value: HeaderValue) {
        let taken = STRUCTURE.contains(&name) || self.frame.header.get(name).is_some();
        let own = format!("{origin}.{name}");
        self.frame.header.set(if taken { &own } else { name }, value);
    }

    /// The frame.
    pub(super) fn into_frame(self) -> Frame {
        self.frame
    }
}

/// Whether an array has this many numbers for each atom, one atom after the other.
fn is_for_each(array: &Array, atoms: usize, width: usize) -> bool {
    array.len() == atoms * width && (array.is_flat() || array.rows() == Some(atoms))
}

/// The nine numbers of a tensor, of which six in Voigt order (xx yy zz yz xz xy) may be given.
fn square(numbers: &[f64]) -> Vec<f64> {
    match *numbers {
        [xx, yy, zz, yz, xz, xy] => vec![xx, xy, xz, xy, yy, yz, xz, yz, zz],
        _ => numbers.to_vec(),
    }
}

/// A number; one of more digits than a real number has is text, so that no digit of an id is lost.
fn exact(number: &Number) -> HeaderValue {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) if whole.unsigned_abs() > EXACT => number.to_string().into(),
        (None, _) if number.is_u64() => number.to_string().into(),
        (_, Some(real)) => real.into(),
        _ => number.to_string().into(),
    }
}

/// The entries of a dictionary that is neither an array, nor another object of ASE.
fn dictionary(note: &Value) -> Option<&Map<String, Value>> {
    note.as_object().filter(|entries| !entries.keys().any(|key| key.starts_with("__")))
}

/// What has no other form: the text of a point in time, the parts of a complex number, and of all else its JSON.
fn text_of(note: &Value) -> HeaderValue {
    let part = |key: &str| note.get(key).filter(|_| note.as_object().is_some_and(|object| object.len() == 1));
    if let Some(Value::String(time)) = part("__datetime__") {
        return time.as_str().into();
    }
    let parts = part("__complex__").and_then(|parts| Array::of_json(parts, &[]).ok()?);
    match parts {
        Some(parts) => HeaderValue::Numbers(parts.into_reals()),
        None => note.to_string().into(),
    }
}
