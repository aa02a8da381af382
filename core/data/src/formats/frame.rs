//! A frame as a file has it: keys of the whole, columns per atom, in the file's units. All formats yield frames;
//! [`crate::Source`] turns a frame into a [`isograd_structure::Structure`].

use super::Header;

/// One frame as the file has it.
///
/// A [`Source`](crate::Source) looks for elements in a column `species`, `element`, `symbols`, `Z` or `numbers`, for
/// positions in `pos` or `positions`, for the cell under the key `Lattice` (the three lattice vectors, one after the other),
/// for periodic directions under `pbc` (three of T or F), and for labels where its own keys say.
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
}

impl Frame {
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
