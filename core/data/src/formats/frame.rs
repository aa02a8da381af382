//! A frame as a file has it: keys of the whole, columns per atom. All formats yield frames; [`crate::Source`] turns a
//! frame into a [`isograd_structure::Structure`].

use isograd_structure::Element;

use super::{Header, Value};

/// One frame as the file has it.
///
/// A [`Source`](crate::Source) looks for elements in a column `species`, `element`, `symbols`, `Z` or `numbers`, for
/// positions in `pos` or `positions`, for the cell under the key `Lattice` (the three lattice vectors, one after the other),
/// for periodic directions under `pbc` (three of T or F), and for labels where its own keys say: unless a config says
/// otherwise, for a total energy under the key `energy`, for forces in a column `forces`, and for a stress, tension positive,
/// under the key `stress`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// Number of atoms.
    pub atoms: usize,
    /// The keys of the whole, in order.
    pub header: Header,
    /// The per-atom columns, in order.
    pub columns: Vec<Column>,
    /// The line in which it begins, from 1; 0 in a file without lines.
    pub line: usize,
    /// The line of its keys, which errors about keys and columns name; as `line`.
    pub header_line: usize,
    /// Position in the file, from 0.
    pub index: usize,
    /// The units that all files of the format have, where the format says so: the reader has converted all that is a
    /// length, an energy, a force or a stress to eV and angstrom. `None` where a config has to say what units these are.
    pub converted_from: Option<&'static str>,
    /// What whoever reads it should be told, in sentences.
    pub remarks: Vec<&'static str>,
}

impl Frame {
    /// A frame of atoms at their positions, and nothing else.
    ///
    /// # Panics
    /// If there are not as many elements as positions.
    pub fn of_atoms(elements: &[Element], positions: &[[f64; 3]]) -> Self {
        assert_eq!(elements.len(), positions.len(), "Frame: elements and positions");
        let numbers = elements.iter().map(|element| i64::from(element.number())).collect();
        Self { atoms: elements.len(), ..Self::default() }
            .with_column("numbers", Data::Integer(numbers))
            .with_vectors("pos", positions)
    }

    /// The same with a key.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.header.set(key, value);
        self
    }

    /// The same in a cell with these lattice vectors, which repeats in some of their directions.
    #[must_use]
    pub fn with_cell(self, vectors: &[[f64; 3]; 3], periodic: [bool; 3]) -> Self {
        self.with("Lattice", vectors.as_flattened())
            .with("pbc", periodic.map(|yes| if yes { "T" } else { "F" }).join(" "))
    }

    /// The same with three numbers for each atom.
    ///
    /// # Panics
    /// If there are not as many vectors as atoms.
    #[must_use]
    pub fn with_vectors(self, name: &str, vectors: &[[f64; 3]]) -> Self {
        assert_eq!(vectors.len(), self.atoms, "Frame: vectors `{name}` and atoms");
        self.with_columns(name, 3, Data::Real(vectors.as_flattened().to_vec()))
    }

    /// The same with a value for each atom, in place of any column of that name.
    ///
    /// # Panics
    /// If there are not as many values as atoms.
    #[must_use]
    pub fn with_column(self, name: &str, data: Data) -> Self {
        self.with_columns(name, 1, data)
    }

    /// The same with `width` values for each atom, in place of any column of that name.
    ///
    /// # Panics
    /// If there are not `width` values for each atom.
    #[must_use]
    pub fn with_columns(mut self, name: &str, width: usize, data: Data) -> Self {
        assert_eq!(data.len(), self.atoms * width, "Frame: values of `{name}`");
        self.columns.retain(|column| column.name != name);
        self.columns.push(Column { name: name.to_owned(), width, data });
        self
    }
    /// The column called `name`.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// The cells of a column, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Numbers.
    Real(Vec<f64>),
    /// Whole numbers.
    Integer(Vec<i64>),
    /// Words.
    Text(Vec<String>),
    /// True or false.
    Logical(Vec<bool>),
}

impl Data {
    /// Number of cells.
    pub fn len(&self) -> usize {
        match self {
            Self::Real(cells) => cells.len(),
            Self::Integer(cells) => cells.len(),
            Self::Text(cells) => cells.len(),
            Self::Logical(cells) => cells.len(),
        }
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What each atom has: a name, a number of values per atom, and the values.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name, as in `pos`.
    pub name: String,
    /// Values per atom.
    pub width: usize,
    /// The values, `[atoms * width]`.
    pub data: Data,
}

impl Column {
    /// A word per atom.
    pub fn words(name: &str, words: &[&str]) -> Self {
        Self { name: name.into(), width: 1, data: Data::Text(words.iter().map(|&word| word.to_owned()).collect()) }
    }

    /// A real column of three values per atom.
    pub fn vectors(name: &str, vectors: &[[f64; 3]]) -> Self {
        Self { name: name.into(), width: 3, data: Data::Real(vectors.as_flattened().to_vec()) }
    }

    /// The column's numbers, row by row, if it has numbers.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        match &self.data {
            Data::Real(values) => Some(values.clone()),
            Data::Integer(values) => Some(values.iter().map(|&value| value as f64).collect()),
            Data::Text(_) | Data::Logical(_) => None,
        }
    }

    /// The column as vectors, if it is numeric with three values per atom.
    pub fn as_vectors(&self) -> Option<Vec<[f64; 3]>> {
        let numbers = self.numbers().filter(|_| self.width == 3)?;
        Some(numbers.as_chunks::<3>().0.to_vec())
    }
}

/// The elements with these atomic numbers.
///
/// # Errors
/// A sentence about the first number that no element has.
pub fn elements_of(numbers: impl IntoIterator<Item = i64>) -> Result<Vec<Element>, String> {
    let element =
        |number| Element::from_number(number).ok_or_else(|| format!("{number} is no atomic number (1 to 118)"));
    numbers.into_iter().map(element).collect()
}
