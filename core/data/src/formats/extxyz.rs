//! Extended XYZ as ASE reads and writes it: frames of `count`, `comment`, one line per atom.
//!
//! This module knows the format only: [`Frame`] holds what the file says, in the file's units.
//! [`crate::Source`] turns a frame into a [`isograd_structure::Structure`].

mod comment;
mod properties;
mod read;
mod write;

pub use comment::{Comment, Value};
pub use properties::{Column, Data};
pub use read::FrameReader;
pub use write::write_frame;

/// One frame as the file has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// Number of atoms.
    pub atoms: usize,
    /// The comment line's keys, in order.
    pub comment: Comment,
    /// The per-atom columns, in order.
    pub columns: Vec<Column>,
    /// Line of the atom count, from 1.
    pub line: usize,
    /// Position in the file, from 0.
    pub index: usize,
}

impl Frame {
    /// The column called `name`.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}
