//! Conformers that stand one above the other in the data sets of a group, read in slices: the first axis of each data
//! set counts conformers, and the second one atoms where there is a value for each atom.
//!
//! A shape alone does not tell what numbers are of: a dipole of three numbers in a group of three atoms looks like a
//! charge of each. So the layout says, by name, what is of the whole and what is of the atoms.

use std::ops::Range;

use isograd_structure::{Element, LengthUnit};

use super::file::{DataSet, File};
use super::layout::Part;
use crate::formats::{Column, Data, Frame, elements_of};

/// How many atoms a slice has, about.
const SLICE: usize = 4096;

/// How many numbers a label has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// One.
    One,
    /// Any number of them.
    Many,
    /// Three for each atom.
    Vectors,
    /// One or more for each atom.
    OfAtoms,
}

/// What a layout knows about a label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Label {
    /// Its key or column in a frame.
    name: String,
    extent: Extent,
    /// What its numbers are multiplied with.
    factor: f64,
}

impl Label {
    pub(super) fn new(name: &str, extent: Extent, factor: f64) -> Self {
        Self { name: name.to_owned(), extent, factor }
    }

    /// How many numbers a conformer has that takes this shape, if it is the one of such a label.
    fn count(&self, shape: &[u64], atoms: usize) -> Option<usize> {
        let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(usize::try_from(size).ok()?))?;
        let of_atoms = shape.first() == Some(&(atoms as u64));
        let fits = match self.extent {
            Extent::One => count == 1,
            Extent::Many => true,
            Extent::Vectors => of_atoms && shape.get(1..) == Some(&[3]),
            Extent::OfAtoms => of_atoms,
        };
        fits.then_some(count)
    }

    /// The shape of such a label.
    fn shape(&self, conformers: Option<usize>, atoms: usize) -> String {
        let conformers = conformers.map(|count| count.to_string());
        let own = match self.extent {
            Extent::One => conformers.is_none().then(|| "1".to_owned()),
            Extent::Many => Some("..".to_owned()),
            Extent::Vectors => Some(format!("{atoms}, 3")),
            Extent::OfAtoms => Some(format!("{atoms}, ..")),
        };
        format!("[{}]", conformers.into_iter().chain(own).collect::<Vec<_>>().join(", "))
    }

    /// Puts its numbers into a frame.
    fn put(&self, mut frame: Frame, numbers: &[f64]) -> Frame {
        let numbers: Vec<f64> = numbers.iter().map(|number| number * self.factor).collect();
        match self.extent {
            Extent::One | Extent::Many => frame.with(&self.name, &numbers[..]),
            Extent::Vectors | Extent::OfAtoms => {
                let width = numbers.len() / frame.atoms;
                frame.columns.push(Column { name: self.name.clone(), width, data: Data::Real(numbers) });
                frame
            }
        }
    }
}

/// A label, where it stands, and how many numbers of it a conformer has.
struct Labelled {
    label: Label,
    set: DataSet,
    count: usize,
}

/// The elements of conformers: the same of all, or of each its own.
enum Elements {
    Same(Vec<Element>),
    Each(Box<DataSet>),
}

/// The conformers of a group, or its only one.
pub(super) struct Conformers {
    elements: Elements,
    positions: DataSet,
    length: LengthUnit,
    /// The units of the layout, in words.
    converted_from: &'static str,
    labels: Vec<Labelled>,
    texts: Vec<(&'static str, String)>,
    nan_is_missing: bool,
    atoms: usize,
    /// How many there are, where the data sets have an axis of conformers.
    stacked: Option<usize>,
    /// Those that are still to be read.
    rows: Range<usize>,
}

impl Conformers {
    /// Conformers one above the other: positions are `[Nc, Na, 3]`, atomic numbers `[Na]` or `[Nc, Na]`.
    pub(super) fn stacked(
        numbers: DataSet,
        positions: DataSet,
        length: LengthUnit,
        converted_from: &'static str,
    ) -> Result<Self, String> {
        let &[count, atoms, 3] = positions.shape()? else {
            return Err(wrong_shape(&positions, "[conformers, atoms, 3]"));
        };
        let (count, atoms) = (in_memory(&positions, count)?, atoms_of(&positions, atoms)?);
        let elements = match *numbers.shape()? {
            [of] if of == atoms as u64 => Elements::Same(same_elements(&numbers)?),
            [each, of] if (each, of) == (count as u64, atoms as u64) => Elements::Each(Box::new(numbers)),
            _ => return Err(wrong_shape(&numbers, &format!("[{atoms}] or [{count}, {atoms}]"))),
        };
        Ok(Self {
            stacked: Some(count),
            rows: 0..count,
            ..Self::new(elements, positions, atoms, length, converted_from)
        })
    }

    /// A single one: positions are `[Na, 3]`, atomic numbers `[Na]`.
    pub(super) fn single(
        numbers: DataSet,
        positions: DataSet,
        length: LengthUnit,
        converted_from: &'static str,
    ) -> Result<Self, String> {
        let &[atoms, 3] = positions.shape()? else {
            return Err(wrong_shape(&positions, "[atoms, 3]"));
        };
        let atoms = atoms_of(&positions, atoms)?;
        let elements = match *numbers.shape()? {
            [of] if of == atoms as u64 => Elements::Same(same_elements(&numbers)?),
            _ => return Err(wrong_shape(&numbers, &format!("[{atoms}]"))),
        };
        Ok(Self::new(elements, positions, atoms, length, converted_from))
    }

    fn new(
        elements: Elements,
        positions: DataSet,
        atoms: usize,
        length: LengthUnit,
        converted_from: &'static str,
    ) -> Self {
        Self {
            elements,
            positions,
            length,
            converted_from,
            labels: Vec::new(),
            texts: Vec::new(),
            nan_is_missing: false,
            atoms,
            stacked: None,
            rows: 0..1,
        }
    }

    /// The same and a text that all of them have.
    pub(super) fn with_text(mut self, key: &'static str, text: impl Into<String>) -> Self {
        self.texts.push((key, text.into()));
        self
    }

    /// The same and a label. One without numbers is none.
    pub(super) fn with_label(mut self, label: Label, set: DataSet) -> Result<Self, String> {
        let shape = set.shape()?;
        let own = match (self.stacked, shape) {
            (None, own) => Some(own),
            (Some(count), &[first, ref own @ ..]) if first == count as u64 => Some(own),
            (Some(_), _) => None,
        };
        let Some(count) = own.and_then(|own| label.count(own, self.atoms)) else {
            return Err(wrong_shape(&set, &label.shape(self.stacked, self.atoms)));
        };
        if count > 0 {
            self.labels.push(Labelled { label, set, count });
        }
        Ok(self)
    }

    /// The same, where a label that is not a number was not computed: a conformer goes without it, and a conformer that
    /// goes without all of them is left out.
    pub(super) fn where_nan_is_missing(self) -> Self {
        Self { nan_is_missing: true, ..self }
    }
}

impl Part for Conformers {
    fn read(&mut self, _: &mut File) -> Result<Vec<Option<Frame>>, String> {
        let first = self.rows.start;
        let rows = first..self.rows.end.min(first.saturating_add((SLICE / self.atoms).max(1)));
        self.rows.start = rows.end;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let slice = || self.stacked.map(|_| rows.clone());
        let read = Slice {
            numbers: match &self.elements {
                Elements::Same(_) => Vec::new(),
                Elements::Each(set) => set.integers(slice())?,
            },
            positions: self.positions.numbers(slice())?,
            labels: self.labels.iter().map(|of| of.set.numbers(slice())).collect::<Result<_, _>>()?,
        };
        (0..rows.len()).map(|row| self.frame(&read, row, first + row)).collect()
    }
}

/// What some conformers have, one after the other.
struct Slice {
    /// Atomic numbers, where they differ.
    numbers: Vec<i64>,
    positions: Vec<f64>,
    /// The numbers of each label.
    labels: Vec<Vec<f64>>,
}

impl Conformers {
    /// A conformer: the one in a row of a slice.
    fn frame(&self, slice: &Slice, row: usize, conformer: usize) -> Result<Option<Frame>, String> {
        let elements = match &self.elements {
            Elements::Same(elements) => elements.clone(),
            Elements::Each(set) => elements_of(of_row(&slice.numbers, row, self.atoms).iter().copied())
                .map_err(|message| set.error(format!("conformer {conformer}: {message}")))?,
        };
        let scale = self.length.in_angstrom();
        let positions = of_row(&slice.positions, row, 3 * self.atoms).as_chunks::<3>().0;
        let positions: Vec<[f64; 3]> = positions.iter().map(|position| position.map(|x| x * scale)).collect();
        let mut frame = Frame::of_atoms(&elements, &positions);
        frame.converted_from = Some(self.converted_from);
        for (key, text) in &self.texts {
            frame = frame.with(key, text.as_str());
        }
        let mut found = self.labels.is_empty();
        for (of, numbers) in self.labels.iter().zip(&slice.labels) {
            let numbers = of_row(numbers, row, of.count);
            if !(self.nan_is_missing && numbers.iter().any(|number| number.is_nan())) {
                frame = of.label.put(frame, numbers);
                found = true;
            }
        }
        Ok(found.then_some(frame))
    }
}

fn of_row<T>(values: &[T], row: usize, count: usize) -> &[T] {
    &values[row * count..][..count]
}

fn same_elements(numbers: &DataSet) -> Result<Vec<Element>, String> {
    elements_of(numbers.integers(None)?).map_err(|message| numbers.error(message))
}

fn atoms_of(positions: &DataSet, atoms: u64) -> Result<usize, String> {
    if atoms == 0 {
        return Err(positions.error("has no atoms"));
    }
    in_memory(positions, atoms)
}

fn in_memory(set: &DataSet, count: u64) -> Result<usize, String> {
    usize::try_from(count).map_err(|_| set.error("has more than fits into memory"))
}

fn wrong_shape(set: &DataSet, expected: &str) -> String {
    match set.shape() {
        Ok(shape) => set.error(format!("has the shape {shape:?}, expected {expected}")),
        Err(message) => message,
    }
}
